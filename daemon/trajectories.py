"""
What stands where a claim points: looked at when the claim is read, since logs are deleted and claims stay.

A look is evidence of its own. It opens nothing: whose log it is says what was read of it, never its name.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.contract import ClaimStated
from adapters.decode import directory
from daemon.identity import stored_path
from daemon.provenance import utc_text
from state.vocabulary import EVENT_VERSION, TrajectoryState

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Trajectories:
    """
    Looks at the logs that claims point at.

    ``home`` is what `~` means in them, ``missing`` what was not there, by its stored path.
    """

    home: Path = Path("/nonexistent")
    missing: set[str] = field(default_factory=set)

    def absolute(self, claim: ClaimStated) -> ClaimStated:
        """Return *claim* with an absolute path, in the one spelling that we give every path."""
        path = claim.body.trajectory_path
        if path is None or not path.startswith(("~/", "/")):
            return claim
        absolute = os.path.normpath(str(self.home / path.removeprefix("~/")))
        return ClaimStated(body=msgspec.structs.replace(claim.body, trajectory_path=absolute))

    def look(self, claim: ClaimStated, now: datetime) -> Iterator[bytes]:
        """Yield the event that says what stands where *claim* points; none where it points nowhere."""
        path = self.absolute(claim).body.trajectory_path
        if path is None:
            return
        body = {"path": path, **_seen(path)}
        (self.missing.add if body["state"] == "missing" else self.missing.discard)(stored_path(path))
        yield _encode({"k": "trajectory", "v": EVENT_VERSION, "ingested_at": utc_text(now), "body": body})

    def look_again(self, claim: ClaimStated, now: datetime) -> Iterator[bytes]:
        """Yield the event that a log is there by now which was missing when its claim was read; else none."""
        path = self.absolute(claim).body.trajectory_path
        if path is not None and stored_path(path) in self.missing and os.path.lexists(path):
            yield from self.look(claim, now)


def _seen(path: str) -> dict[str, object]:
    if not path.startswith("/"):
        return {"state": "unusable"}
    real = directory(os.path.realpath(path))
    return _looked_at(path) | ({} if real == path else {"real_path": real})


def _looked_at(path: str) -> dict[str, object]:
    state: TrajectoryState = "present"
    try:
        status = os.stat(path)  # noqa: PTH116 - a link is followed: a harness may have made it
    except (FileNotFoundError, NotADirectoryError):
        state = "missing"
    except OSError:
        state = "unreadable"
    else:
        if stat.S_ISREG(status.st_mode):
            return {"state": state, "size_bytes": status.st_size, **_modified(status.st_mtime)}
        state = "not_regular"
    return {"state": state}


def _modified(seconds: float) -> dict[str, object]:
    """Return when a file was written last; nothing for a time that none can have."""
    try:
        return {"modified_at": utc_text(datetime.fromtimestamp(seconds, UTC))} if seconds >= 0 else {}
    except (OverflowError, ValueError, OSError):
        return {}
