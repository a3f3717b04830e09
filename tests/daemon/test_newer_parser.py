"""A newer parser reads files again, and its reading replaces the older one whatever the values."""

from collections.abc import Iterable

import pytest

from adapters.claude_code import ClaudeCode
from adapters.codex import Codex
from adapters.contract import Header, Observation, UsageStated
from daemon.bootstrap import open_log, refresh_and_publish
from tests.daemon.conftest import Host, claude_line, codex_lines


class NewerClaude(ClaudeCode):
    """Says that `msg_wrong` is no call, and that every output was one too high."""

    parser_version = ClaudeCode.parser_version + 1

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        if b"msg_wrong" in line:
            return ()
        return super().read_line(line.replace(b'"output_tokens": 5', b'"output_tokens": 4'), header)


class NewerCodex(Codex):
    """Says that the largest total is none."""

    parser_version = Codex.parser_version + 1

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        seen = super().read_line(line, header)
        return [each for each in seen if not isinstance(each, UsageStated) or max((each.raw or {}).values()) < 1000]


def test_an_over_count_does_not_stay_for_ever(host: Host) -> None:
    """
    A call that the newer parser no longer sees is superseded by nothing; a smaller reading of a line wins.
    """
    host.claude().write_bytes(claude_line("msg_a", 5) + claude_line("msg_wrong", 900))
    host.codex().write_bytes(codex_lines([100, 250, 9000]))
    host.ingest_with(ClaudeCode(), Codex())
    assert (5, 15 + 910 + 9000) == host.totals()

    host.ingest_with(NewerClaude(), NewerCodex())

    assert (3, 14 + 250) == host.totals()
    assert {"reparsed"} == {row["reason"] for row in host.rows("SELECT reason FROM superseded")}
    assert 2 == host.changes().count("reparsed")
    incremental = host.tables_hash()
    with open_log(host.settings):
        refresh_and_publish(host.settings, anew=True)
    assert incremental == host.tables_hash()


def test_what_is_gone_keeps_its_older_reading(host: Host) -> None:
    """
    A deleted file cannot be read again; its evidence stays as it was read.
    """
    log = host.claude()
    log.write_bytes(claude_line("msg_a", 5) + claude_line("msg_wrong", 900))
    host.ingest_with(ClaudeCode())
    log.unlink()

    host.ingest_with(NewerClaude())

    assert (2, 925) == host.totals()


class FailingClaude(ClaudeCode):
    """Raises at one line, in the middle of what it says of it, with the line's text in its message."""

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        yield from super().read_line(line, header)
        if b"msg_bad" in line:
            raise ValueError(line)


def test_an_adapter_that_fails_costs_its_line_and_nothing_else(host: Host) -> None:
    """
    The line is told as rejected, without what the adapter said of it or raised; the lines around it count.
    """
    host.claude().write_bytes(b"".join(claude_line(each, 5) for each in ("msg_a", "msg_bad", "msg_b")))

    host.ingest_with(FailingClaude())

    assert (2, 30) == host.totals()
    assert [{"code": "adapter_failed"}] == host.rows("SELECT code FROM rejected")


class GreedyClaude(ClaudeCode):
    """Needs more memory than there is."""

    def read_line(self, line: bytes, header: Header) -> Iterable[Observation]:
        bytes(1 << 62)
        return super().read_line(line, header)


def test_memory_that_is_missing_is_no_fault_of_the_line(host: Host) -> None:
    """
    A line that was rejected would be passed over for good: it is read by who has more memory.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))

    with pytest.raises(MemoryError):
        host.ingest_with(GreedyClaude())
    host.ingest_with(ClaudeCode())

    assert (1, 15) == host.totals()
    assert [] == host.rows("SELECT code FROM rejected")
