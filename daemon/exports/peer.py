"""Runs an installed ccusage over the same logs: somebody else's program, asked for JSON and nothing else."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from daemon.settings import Settings
from state.errors import TallystickError

#: It counts millions of lines in seconds; what takes longer hangs.
SECONDS_MAX: Final = 300

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+\S*")


class PeerMissing(TallystickError):
    """
    That program is not installed. Install ccusage, or name its command: --command "npx ccusage@latest".
    """

    exit_code = 3


class PeerFailed(TallystickError):
    """
    The other program gave no report. Run the command named here by hand to see why.
    """

    exit_code = 3


class Peer:
    """One installed ccusage, and the home whose logs it reads."""

    def __init__(self, command: str, settings: Settings) -> None:
        self._command = shlex.split(command)
        #: As ours: the home that was asked for, and the agents' own variables where it is this user's.
        self._environment: Mapping[str, str] = {
            "PATH": os.pathsep.join(os.get_exec_path()),
            **settings.agent_environment,
            "HOME": str(settings.home),
        }

    def version(self) -> str | None:
        """Return its version; null when it tells none."""
        found = _VERSION.search(self._run("--version"))
        return found[0] if found else None

    def report(self, agent: str, name: str) -> dict[str, Any]:
        """
        Return one of its reports, days in UTC, without asking the network for prices.

        Raises:
            PeerMissing, PeerFailed: There is none.
        """
        text = self._run(agent, name, "--json", "--offline", "--timezone", "UTC")
        try:
            answer = json.loads(text)
        except ValueError:
            raise PeerFailed(command=shlex.join(self._command), reason="no_json") from None
        if not isinstance(answer, dict):
            raise PeerFailed(command=shlex.join(self._command), reason="no_report")
        return answer

    def _run(self, *words: str) -> str:
        said = shlex.join([*self._command, *words])
        if not self._command:
            raise PeerMissing(command=said)
        try:
            done = subprocess.run(  # noqa: S603 - the operator names it
                [*self._command, *words],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except FileNotFoundError:
            raise PeerMissing(command=said) from None
        except subprocess.TimeoutExpired:
            raise PeerFailed(command=said, reason="timeout") from None
        except OSError as error:
            raise PeerFailed(command=said, reason=type(error).__name__) from None
        if done.returncode:
            raise PeerFailed(command=said, exit_code=done.returncode)
        return done.stdout.decode("utf-8", "replace")
