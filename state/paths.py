"""Where log, inbox, database and lock live."""

import errno
import os
from pathlib import Path
from typing import NamedTuple

from state.errors import StateUnusable


class StatePaths(NamedTuple):
    """
    Everything below one state directory.

    The log is the truth; inbox/ holds what is not in it yet, quarantine/ what was cut off it. The rest can be remade.
    """

    root: Path

    @property
    def log_directory(self) -> Path:
        """Segments of the log."""
        return self.root / "log"

    @property
    def lock(self) -> Path:
        """Held by the one writer; never unlinked."""
        return self.root / "daemon.lock"

    @property
    def import_lock(self) -> Path:
        """Held by the one import of an old table that runs; never unlinked."""
        return self.root / "import.lock"

    @property
    def head(self) -> Path:
        """The last commit as we remember it, to notice a log that was cut."""
        return self.root / "head"

    @property
    def quarantine(self) -> Path:
        """Copies of the torn ends of our own log."""
        return self.root / "quarantine"

    @property
    def inbox(self) -> Path:
        """Reports of hooks, tasks and operators, one file each."""
        return self.root / "inbox"

    @property
    def projection(self) -> Path:
        """The daemon's own database."""
        return self.root / "projection.duckdb"

    @property
    def published(self) -> Path:
        """The database that others read; replaced by rename."""
        return self.root / "published.duckdb"

    @property
    def session_totals(self) -> Path:
        """What was measured of the last sessions, for who opens no database; replaced by rename."""
        return self.root / "sessions.json"

    @property
    def health(self) -> Path:
        """What the daemon last said of itself; replaced by rename."""
        return self.root / "health.json"

    def stamp(self, name: str) -> Path:
        """Empty file whose time of modification says when *name* ran last."""
        return self.root / f"{name}.stamp"

    @property
    def api_socket(self) -> Path:
        """Where `tallystick serve` answers when nothing else is said."""
        return self.root / "api.sock"

    @property
    def api_token(self) -> Path:
        """What a caller of a loopback port has to know."""
        return self.root / "api-token"

    @property
    def reports(self) -> Path:
        """What the last reconciles came to, one file each."""
        return self.root / "reports"

    @property
    def sentinel(self) -> Path:
        """Sessions that the daemon plants itself, to see that they come out again."""
        return self.root / "sentinel"

    @property
    def temporary(self) -> Path:
        """Files before their rename, hence on the same filesystem."""
        return self.root / "temporary"

    def create(self) -> None:
        """
        Make the directories that are missing, for their owner only.

        Raises:
            StateUnusable: One cannot be made.
        """
        umask = os.umask(0o077)
        try:
            for directory in (self.root, self.log_directory, self.quarantine, self.inbox, self.temporary):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnusable(path=self.root, reason=errno.errorcode.get(error.errno or 0)) from None
        finally:
            os.umask(umask)
