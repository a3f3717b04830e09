"""What somebody else's adapter may do, and what it costs: its own files, and nothing else."""

import sys
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, cast

import pytest

from adapters.claude_code import ClaudeCode
from adapters.contract import Adapter, Header, Observation, Root, UsageStated
from daemon.bootstrap import open_log, refresh_and_publish
from daemon.discover import places, sweep
from daemon.guard import Guarded
from daemon.ingest import Ingest
from tests.daemon.conftest import Host, claude_line, codex_lines
from tests.templates import begin_with_empty_tables

CALL = {"basis": "call", "witness": "message", "confidence": "stated", "session_id": "s", "source_id": "tern:1"}


class Tern(ClaudeCode):
    """A plug-in that reads the lines of Claude Code and says something of its own."""

    agent = "tern"
    parser = "tern"
    source_class = "tern_log"

    def __init__(self, said: Any) -> None:
        self._said = said

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        if callable(self._said):
            return cast("Iterable[Observation]", self._said())
        return cast("Iterable[Observation]", self._said)


def stated(**over: Any) -> tuple[UsageStated]:
    return (UsageStated(**(CALL | over)),)


BAD = {
    "too many tokens": stated(input_tokens=10**19),
    "negative tokens": stated(input_tokens=-5),
    "half a token": stated(input_tokens=1.5),
    "no time": stated(source_created_at="yesterday"),
    "words as a model": stated(model="hello world"),
    "a list as a model": stated(model=["x"]),
    "a text": "zz",
    "numbers": (1, 2),
    "nothing": None,
    "an exception": lambda: 1 // 0,
    "an end": lambda: sys.exit(0),
}


def read_with(host: Host, *adapters: Adapter) -> None:
    begin_with_empty_tables(host.state)
    with open_log(host.settings) as log:
        Ingest(log, lambda: host.now).run(sweep(places(adapters, host.home, {}), "UTC"))
        refresh_and_publish(host.settings)


@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
def test_what_is_no_evidence_never_reaches_the_log(host: Host, said: Any) -> None:
    """
    The log keeps every event for ever, and one impossible value would stop all tables: the line is rejected instead.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    guarded = Guarded(cast("Adapter", Tern(said)))

    read_with(host, cast("Adapter", guarded), ClaudeCode())

    assert (1, 15) == host.totals()
    assert [{"agent": "tern", "code": "adapter_failed"}] == host.rows("SELECT agent, code FROM rejected")
    assert {"read_line"} == guarded.failures


def test_what_is_evidence_passes(host: Host) -> None:
    """
    A plug-in that keeps its promises is an adapter like ours.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    guarded = Guarded(cast("Adapter", Tern(stated(input_tokens=7))))

    read_with(host, cast("Adapter", guarded))

    assert (1, 7) == host.totals()
    assert set() == guarded.failures


@pytest.mark.parametrize("wrong", ["raises", "returns"])
def test_a_plug_in_that_cannot_find_its_files_hides_nobody_elses(host: Host, wrong: str) -> None:
    """
    Whether it raises or names nonsense, it reads nothing, and that is told.
    """

    class Lost(Tern):
        def roots(self, *_: object) -> Any:
            return (5,) if wrong == "returns" else sys.exit(1)

        def claim(self, root: Root, relative: PurePosixPath) -> Any:
            return 5 if wrong == "returns" else 1 // 0

    host.codex().write_bytes(codex_lines([100]))
    guarded = Guarded(cast("Adapter", Lost(())))

    assert () == guarded.roots(host.home, {})
    assert guarded.claim(Root(host.home), PurePosixPath("x")) is None
    assert {"roots", "claim"} == guarded.failures
