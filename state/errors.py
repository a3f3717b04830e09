"""What can go wrong, and what the operator does next: one kind per decision."""

from typing import ClassVar


class TallystickError(Exception):
    """
    Something failed that tallystick has a name for. Run `tallystick doctor` for the state of its parts.

    The message is the first paragraph of the class's docstring, then the facts. A fact is a path, a number or a code,
    never the content of a line.
    """

    #: What the process ends with: 3 unavailable or locked, 4 integrity broken.
    exit_code: ClassVar[int] = 3

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self._message())

    def _message(self) -> str:
        import inspect  # only where something failed: a fast command must not pay for it

        docstring = inspect.getdoc(type(self)) or type(self).__name__  # python -OO strips docstrings
        sentence = " ".join(docstring.split("\n\n", maxsplit=1)[0].split())
        facts = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{sentence} ({facts})" if facts else sentence


class LogLocked(TallystickError):
    """
    Another process writes to this state directory. Stop the process named here, or choose another --state-dir.
    """


class StateUnusable(TallystickError):
    """
    The state directory cannot be created, read or written. Check owner, mode and mount, then start again.
    """


class StateOnNetwork(StateUnusable):
    """
    The state directory lies on a network file system, where two hosts could write to one log without noticing each
    other. Choose a --state-dir on a disk of this host.
    """


class DiskFull(TallystickError):
    """
    There is no room for the log. Nothing is lost, the sources keep what was not read: free some space, we try again.
    """


class LogIoError(TallystickError):
    """
    The disk did not confirm a write, so this process must end. Look for device errors in the kernel's log; the next
    start verifies the log from disk.
    """


class OutOfMemory(TallystickError):
    """
    There was not enough memory, so this process ended; nothing that was committed is lost. Give it more (`MemoryMax=`
    of the service, `ulimit -v` of the shell), then start again.
    """


class EventRefused(TallystickError, ValueError):
    """
    An event is not one short ASCII line with a JSON object; nothing of its batch was written. Please report this bug.
    """


class NotRetirable(TallystickError):
    """
    The log cannot begin there: the segment is too new, not read into all tables yet, or is none. Nothing was changed;
    ask again with an older age.
    """


class LogBroken(TallystickError):
    """
    A segment or tombstone of the log is missing, doubled, foreign or unreadable as a whole. Nothing was changed. Run
    `tallystick verify` to see where, and restore that file from a copy of log/. Without a copy, move log/ and `head`
    away: a new log begins, and all sources are read again.
    """

    exit_code: ClassVar[int] = 4


class LogCut(TallystickError):
    """
    The log lacks a commit that we remember: an old copy was put back, or its end was damaged. Nothing was changed.
    Restore the newest copy of log/, or run `tallystick verify`. To accept the loss and read the sources again from
    where the log ends now, delete the file `head` in the state directory.
    """

    exit_code: ClassVar[int] = 4
