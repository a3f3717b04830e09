"""A watch over one directory by itself, and logs in project directories of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.mailbox import Mailbox
from daemon.watch import Watch
from tests.daemon.conftest import Host
from tests.daemon.live import append, until

#: Only what is heard is read.
DEAF = {"sweep_all": 3_600.0, "sweep_hot": 3_600.0, "sweep_blind": 3_600.0, "heartbeat": 0.2}


def other(host: Host, number: int) -> Path:
    """Return the log of another session, in a project directory of its own."""
    return host.home / f".claude/projects/-srv-{number}" / f"11111111-1111-4111-8111-{number:012}.jsonl"


class Ear:
    """A watch over one directory, and what it put into the mailbox."""

    def __init__(self, root: Path) -> None:
        self.mailbox = Mailbox()
        self.watch = Watch(self.mailbox, [str(root)])
        self.watch.start()

    def told_before(self, path: Path) -> set[str]:
        """Append to *path* until somebody tells of it, and return what else was told of before that."""
        told: set[str] = set()

        def is_heard() -> bool:
            append(path, b"{}\n")
            mail = self.mailbox.take(0.1)
            told.update(mail.paths, mail.directories)
            return str(path) in told

        until(is_heard, f"{path.name} is heard of")
        return told - {str(path)}


@contextmanager
def listening(root: Path) -> Iterator[Ear]:
    """Give an ear at *root*, which is made when it is not there."""
    root.mkdir(exist_ok=True)
    ear = Ear(root)
    try:
        yield ear
    finally:
        ear.watch.stop()
