"""
`tallystick health`: looks, judges, says one line, and leaves a stamp.

It is asked every minute or so, for ever: it reads files, and imports nothing that it does not need.
"""

import contextlib
import errno
import json
import os
import sys
from datetime import UTC, datetime

from daemon import show
from daemon.health.case import Case, case_of
from daemon.health.finding import Finding, by_severity, worst
from daemon.health.judge import judge
from daemon.health.look import look
from daemon.health.report import EXIT_CODES, document, line
from daemon.health.stamps import stamp
from daemon.settings import Settings, load, options
from state.paths import StatePaths


def main(home: str | None, state_directory: str | None, *, as_json: bool) -> int:
    """Answer without the parser of the other verbs; whatever fails is no crash, which would look like a warning."""
    try:
        return health(load(home, state_directory, zone="UTC"), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - nobody can tell how it is, and that is the answer
        _say(f"TALLYSTICK UNKNOWN - health itself failed ({type(error).__name__})")
        return EXIT_CODES["unknown"]


def health(settings: Settings, *, as_json: bool) -> int:
    """Say how it is; returns 0 ok, 1 warning, 2 critical, 3 unknown, whether somebody can take the answer or not."""
    case, findings = judged(settings, leaves_stamp=not is_by_hand())
    answer = json.dumps(document(case, findings), indent=1) if as_json else line(case, findings)
    if not as_json:
        _tell(findings)
    _say(answer)
    return EXIT_CODES[worst(findings)]


def judged(settings: Settings, *, leaves_stamp: bool = False) -> tuple[Case, list[Finding]]:
    """Look once and judge what is seen; when *leaves_stamp*, the age of the last one is still that before this run."""
    looked = look(settings, lambda: _stamped(settings.state) if leaves_stamp else None)
    case = case_of(looked, datetime.now(UTC), str(settings.state.root), options(settings))
    return case, judge(case)


def _stamped(paths: StatePaths) -> str | None:
    """Leave the stamp; return why not."""
    try:
        stamp(paths, "health")
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "unknown")
    return None


def is_by_hand() -> bool:
    """Say whether somebody at a terminal asks: that is no sign of a timer, and must not look like one."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _tell(findings: list[Finding]) -> None:
    """Say on stderr what the line has no room for: each finding with its next command."""
    with contextlib.suppress(OSError, ValueError):
        for finding in by_severity(findings):
            show.warn(f"{finding.rank}: {finding.message}; next: {finding.next}")


def _say(answer: str) -> None:
    """Print the answer; where nobody can take it, the exit code says the most important part."""
    try:
        show.out(answer)
        show.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
