"""The threads of the daemon, and whether each of them goes on."""

from dataclasses import dataclass
from typing import Any, Final

#: Who has not shown for so long, in seconds, that he goes on, hangs. Far above any honest step: a rebuild of the tables
#: beats while its child works, and what the daemon's own thread makes of the rest is a few megabytes of log.
FRESH_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Worker:
    """
    How one thread is.

    ``is_alive`` is null while it is not wanted: before the first sweep ended, or where the system has no such thing.
    ``beat_at`` is when it last showed that it goes on, in monotonic seconds; null for one that only waits to be told.
    ``is_excused`` when a restart would not help it: it waits for something outside of this process.
    """

    is_alive: bool | None
    beat_at: float | None = None
    is_excused: bool = False

    def is_well(self, now: float) -> bool:
        """Say whether it goes on, as far as a restart could mend it; *now* in monotonic seconds."""
        if self.is_alive is False:
            return False
        return self.is_excused or self.beat_at is None or now - self.beat_at < FRESH_SECONDS

    def document(self, now: float) -> dict[str, Any]:
        """Return what the heartbeat shows of it: null for what is not known."""
        age = None if self.beat_at is None else max(round(now - self.beat_at), 0)
        return {"is_alive": self.is_alive, "age_seconds": age}
