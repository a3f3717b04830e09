"""
Every way in which a watch goes blind, and what makes up for it.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.tail import SourceFile
from tests.daemon.conftest import Host, claude_line
from tests.daemon.live import Daemon, append, daemon, needs, until
from tests.daemon.watching import DEAF, listening, other


def is_told(run: Daemon, reason: str) -> None:
    until(lambda: any("watch_blind" in line and reason in line for line in run.told().splitlines()), f"{reason} told")


def with_limit(name: str, value: int) -> tuple[str, ...]:
    """
    Return a wrapper that runs a command in a namespace with its own inotify limit.
    """
    needs("unshare", "-Ur", "sh", "-c", f"echo {value} > /proc/sys/user/{name}")
    return ("unshare", "-Ur", "sh", "-c", f'echo {value} > /proc/sys/user/{name} && exec "$0" "$@"')


def test_watch_queue_overflow(host: Host) -> None:
    """
    More changes than the kernel keeps for a process that stands still: the rest is dropped.
    """
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    append(other(host, 1), claude_line("msg_a", 5))
    append(other(host, 2), claude_line("msg_b", 5, second=1))
    with daemon(host) as run:
        run.signal(signal.SIGSTOP)
        with other(host, 1).open("ab", buffering=0) as one, other(host, 2).open("ab", buffering=0) as two:
            for _ in range(queued):  # in turns: the kernel merges equal neighbours
                one.write(b"{}\n")
                two.write(b"{}\n")
        append(other(host, 3), claude_line("msg_c", 5, second=2))
        run.signal(signal.SIGCONT)
        run.has_read(other(host, 1), other(host, 2), other(host, 3))
        is_told(run, "overflow")


def test_watch_limit(host: Host) -> None:
    """
    More directories than may be watched: the library says nothing and lives on, and the kernel's own list shows it.
    """
    limit = with_limit("max_inotify_watches", 20)
    for n in range(40):
        append(other(host, n), claude_line(f"msg_{n}", 5))
    with daemon(host, wrapper=limit) as run:
        is_told(run, "watch_limit")
        until(lambda: "watch_limit" in run.health()["watch"]["blindness"], "watch_limit in health.json")
        for n in range(40):
            append(other(host, n), claude_line(f"more_{n}", 6, second=n))
        run.has_read(*(other(host, n) for n in range(40)))


def test_no_watch_instance(host: Host) -> None:
    """
    Every inotify instance of this user is taken: the sweep alone finds everything.
    """
    limit = with_limit("max_inotify_instances", 0)
    append(other(host, 1), claude_line("msg_a", 5))
    with daemon(host, wrapper=limit) as run:
        is_told(run, "no_inotify")
        until(lambda: "no_inotify" in run.health()["watch"]["blindness"], "no_inotify in health.json")
        append(other(host, 1), claude_line("msg_b", 6, second=1))
        append(other(host, 2), claude_line("msg_c", 7, second=2))
        run.has_read(other(host, 1), other(host, 2))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_handler_that_raises(tmp_path: Path) -> None:
    """
    It ends the library's dispatcher, and only that.
    """

    def raising(_: object) -> None:
        raise RuntimeError

    with listening(tmp_path / "root") as ear:
        assert ear.watch._observer is not None
        observer = ear.watch._observer
        for handlers in observer._handlers.values():
            for handler in handlers:
                handler.dispatch = raising  # type: ignore[method-assign,assignment]
        append(tmp_path / "root/a.jsonl", b"{}\n")
        until(lambda: not observer.is_alive(), "the dispatcher is dead")

        assert ear.watch.check()

        assert {"dead_thread"} == ear.watch.blindness
        ear.told_before(tmp_path / "root/a.jsonl")


def test_root_missing_or_made_again(host: Host) -> None:
    """
    An agent that is installed while the daemon runs, and one whose logs are deleted: the old watch hears nothing of the
    new directory, and the library does not notice.
    """
    with daemon(host) as run:
        append(other(host, 1), claude_line("msg_a", 5))
        append(host.gptme(), b'{"role": "user"}\n')
        run.has_read(other(host, 1), host.gptme())
        until(lambda: is_watched(run, other(host, 1).parent), "the new root is watched")
        shutil.rmtree(host.home / ".claude/projects")
        append(other(host, 2), claude_line("msg_b", 6, second=1))
        run.has_read(other(host, 2))
        until(lambda: is_watched(run, other(host, 2).parent), "the new directory is watched")
        append(other(host, 2), claude_line("msg_c", 7, second=2))
        run.has_read(other(host, 2))
        until(lambda: run.health()["watch"]["blindness"] == [], "sees again")


def is_watched(run: Daemon, directory: Path) -> bool:
    """
    Say whether the kernel has a watch of this process on *directory*.
    """
    watches = Path(f"/proc/{run.pid}/fdinfo").iterdir()
    return any(f" ino:{directory.stat().st_ino:x} " in each.read_text() for each in watches)


def test_directories_made_in_a_hurry(host: Host) -> None:
    """
    Directories with a file in them at once, and trees that were made elsewhere: all are heard of, then and later, and
    no sweep helps.
    """
    append(other(host, 0), claude_line("msg_a", 5))
    with daemon(host, pace=DEAF) as run:
        logs = []
        for n in range(1, 25):
            logs.append(other(host, n).parent / "deeper" / other(host, n).name)
            made = logs[-1] if n % 2 else host.home / "elsewhere" / logs[-1].name
            append(made, claude_line(f"msg_{n}", 5, second=n))
            if made is not logs[-1]:
                logs[-1].parent.parent.mkdir()
                made.parent.rename(logs[-1].parent)
        run.has_read(*logs)
        for n, log in enumerate(logs):
            append(log, claude_line(f"more_{n}", 6, second=n))
        run.has_read(*logs)


@pytest.fixture
def layered(host: Host) -> Iterator[Path]:
    """
    Give the lower layer of an overlay that is mounted as the root of an agent.
    """
    lower, upper, work = (host.home.parent / name for name in ("lower", "upper", "work"))
    root = host.home / ".claude/projects"
    for directory in (lower / "-srv-1", upper, work, root):
        directory.mkdir(parents=True)
    append(lower / "-srv-1" / other(host, 1).name, claude_line("msg_a", 5))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    needs("mount", "-t", "overlay", "-o", options, "overlay", str(root))
    yield lower
    subprocess.run(["umount", "-l", root], check=True)


def test_file_system_without_events(host: Host, layered: Path) -> None:
    """
    What is written to the lower layer of an overlay is no event above it; a sweep notices that nobody told.
    """
    with daemon(host) as run:
        run.has_read(other(host, 1))
        append(layered / "-srv-1" / other(host, 1).name, claude_line("msg_b", 6, second=1))
        run.has_read(other(host, 1))


def test_own_reads(tmp_path: Path) -> None:
    """
    Opening, reading and closing a watched file are events for inotify; we do not ask for them.
    """
    log, other_log = tmp_path / "root/a.jsonl", tmp_path / "root/b.jsonl"
    with listening(log.parent) as ear:
        ear.told_before(log)
        ear.told_before(other_log)

        for _ in range(10):
            with SourceFile(str(log)) as source:
                source.read_at(0, 100)
            list(log.parent.iterdir())

        assert set() == ear.told_before(other_log)
