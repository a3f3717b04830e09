"""Nothing that stands in a log, or where a log should be, ends a pass or becomes a silent zero."""

import json

import pytest

from daemon.cli import main
from daemon.tail import LINE_BYTES_MAX
from tests.daemon.conftest import Host, claude_line, codex_lines

GOOD = claude_line("msg_good", 5)

HOSTILE: dict[str, tuple[bytes, str | None]] = {
    "cut": (GOOD[:80] + b"\n", "invalid_json"),
    "no JSON": (b"Traceback (most recent call last):\n", "invalid_json"),
    "two lines in one": (GOOD[:80] + GOOD, "invalid_json"),
    "array": (b'["usage"]\n', "invalid_json"),
    "number": (b"17\n", "invalid_json"),
    "not UTF-8": (b'{"type":"\xff\xfe"}\n', None),
    "UTF-16": (GOOD.decode().encode("utf-16")[:-2] + b"\0", "invalid_json"),
    "too long": (b'{"type":"user","x":"' + b"x" * (9 * 1024 * 1024) + b'"}\n', "too_long"),
    "too deep": (b'{"type":"user","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "too_deep"),
    "NULs": (b"\0" * 4096 + b"\n", "nul_run"),
    "negative": (GOOD.replace(b'"output_tokens": 5', b'"output_tokens": -5'), "out_of_range"),
    "huge": (GOOD.replace(b'"output_tokens": 5', b'"output_tokens": 1000000000001'), "out_of_range"),
    "endless digits": (GOOD.replace(b'"output_tokens": 5', b'"output_tokens": ' + b"9" * 5000), "invalid_field"),
    "a string for a number": (GOOD.replace(b'"output_tokens": 5', b'"output_tokens": "5"'), "invalid_field"),
    "a list for usage": (GOOD.replace(b'{"input_tokens": 10, "output_tokens": 5}', b"[1]"), "invalid_field"),
    "unknown type": (b'{"type":"thought"}\n', None),
    "blank": (b"\n\r\n   \n", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_line_is_evidence_and_costs_its_neighbours_nothing(host: Host, name: str) -> None:
    """
    The lines before and after it count; it is told with reason, place and length.
    """
    line, code = HOSTILE[name]
    before, after = claude_line("msg_a", 5), claude_line("msg_b", 6)
    host.claude().write_bytes(before + line + b"\n" + after)

    host.ingest()

    assert (2, 31) == host.totals()
    rejected = host.rows("SELECT code, offset_bytes, length_bytes FROM rejected ORDER BY seq")
    assert ({code} if code else set()) == {row["code"] for row in rejected}
    if rejected:
        assert len(before) == rejected[0]["offset_bytes"]
    assert len(rejected) == host.usage()["rejected_lines"]


@pytest.mark.parametrize("before_bytes", [0, 100_000, 262_143])
def test_the_longest_line_is_read_and_one_byte_more_is_not(host: Host, before_bytes: int) -> None:
    """
    Wherever in the file it stands, and so from wherever reading began: two passes must not say two things of it.
    """
    longest = GOOD[:-2] + b', "x": "' + b"x" * (LINE_BYTES_MAX - len(GOOD) - 8) + b'"}\n'
    assert LINE_BYTES_MAX == len(longest) - 1
    longer = claude_line("msg_long", 5)[:-2] + longest[len(GOOD) - 2 : -3] + b'y"}\n'
    longer = longer[:-3] + b"y" * (LINE_BYTES_MAX + 2 - len(longer)) + b'"}\n'
    assert LINE_BYTES_MAX + 1 == len(longer) - 1
    host.claude().write_bytes(b" " * before_bytes + b"\n" + longest + longer)

    host.ingest()

    assert (1, 15) == host.totals()
    assert [{"code": "too_long", "length_bytes": LINE_BYTES_MAX + 1}] == host.rows(
        "SELECT code, length_bytes FROM rejected"
    )


def test_odd_context_costs_no_call(host: Host) -> None:
    """
    A field of an impossible type, an absurd time, or half a character in a text that nobody reads: the call counts.
    """
    lines = [
        claude_line("msg_a", 5, cwd=17, gitBranch=["x"], version=None, isSidechain="no"),
        claude_line("msg_b", 5, timestamp="yesterday"),
        claude_line("msg_c", 5, timestamp="2099-01-01T00:00:00Z"),
        claude_line("msg_d", 5, timestamp="1970-01-01T00:00:00Z"),
        claude_line("msg_e", 5, note="CUT").replace(b"CUT", b"cut \\ud83d"),
        claude_line("msg_g", 5, deep="DEEP").replace(b'"DEEP"', b"[" * 5000 + b"]" * 5000),
        claude_line("msg_f", 5, costUSD="free").replace(b'"output_tokens": 5', b'"output_tokens": 5.0'),
    ]
    host.claude().write_bytes(b"".join(lines))

    host.ingest()

    assert (7, 105) == host.totals()
    row = host.usage()["rows"][0]
    assert 3 == row["quality"]["time_quality"]
    assert {"2026-11-01": 4, None: 3} == {each["day"]: each["calls"] for each in host.usage("day")["rows"]}


def test_a_home_without_logs_is_said_and_no_zero(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Nothing found is a finding: where was looked, and what to set.
    """
    arguments = ["--home", str(host.home), "--state-dir", str(host.state.root)]

    assert 1 == main(["ingest", *arguments])
    said = capsys.readouterr().err
    assert "no agent logs found" in said
    assert ".codex" in said
    assert 0 == main(["usage", "--json", *arguments])
    document = json.loads(capsys.readouterr().out)
    assert [] == document["rows"]
    assert 0 == document["sources"]
    assert None is document["totals"]["measured"]["total_tokens"]
    assert 1 == main(["status", *arguments])
    assert "unknown" in capsys.readouterr().err


def test_a_home_that_does_not_exist_is_an_error(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A misspelt --home must not look like an idle host.
    """
    assert 3 == main(["ingest", "--home", str(host.home / "nope"), "--state-dir", str(host.state.root)])
    assert "--home" in capsys.readouterr().err


def test_tables_that_are_not_there_are_an_error(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `usage` before the first `ingest` says so.
    """
    assert 3 == main(["usage", "--state-dir", str(host.state.root)])
    assert "tallystick ingest" in capsys.readouterr().err


def test_every_event_in_a_log_keeps_the_contract(host: Host) -> None:
    """
    What stands in the log after a pass over good and bad lines validates against the models, field by field.
    """
    host.claude().write_bytes(GOOD + b"".join(line for line, _ in HOSTILE.values() if len(line) < 10_000))
    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()

    kinds = {event["k"] for event in host.events()}

    assert {"usage", "session", "turn", "rejected", "source", "tally", "rates"} == kinds


def test_no_text_of_a_line_reaches_the_state_directory(host: Host) -> None:
    """
    A marked word in texts, keys, ids and broken lines is found nowhere below the state directory.
    """
    canary = "Zebrafinkenlied"
    content = [{"type": "text", "text": canary}]
    message = {
        "id": f"msg {canary}",
        "model": f"m {canary}",
        "content": content,
        "usage": {"output_tokens": 3, canary: 4},
    }
    lines = [
        claude_line("msg_a", 5, gitBranch=f"b {canary}", cwd=canary, extra={canary: canary}),
        json.dumps({"type": "assistant", "uuid": f"u {canary}", "message": message}).encode() + b"\n",
        json.dumps({"type": canary, "text": canary}).encode() + b"\n",
        b'{"type":"user","text":"' + canary.encode() + b"\n",
    ]
    host.claude().write_bytes(b"".join(lines))

    host.ingest()

    assert (2, 18) == host.totals()
    kept = [path for path in host.state.root.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert [] == kept
