"""Every number leads back to bytes from which anybody can compute it again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.bootstrap import catch_up, seen_files
from daemon.cli import main
from tests.daemon.conftest import THREAD, Host, claude_line, codex_lines, gptme_lines
from tests.templates import begin_with_empty_tables

DEMO_HOME = Path(__file__).parents[2] / "daemon" / "demo_logs" / "home"

#: Reads the output of `explain --json` and the files it names; imports nothing of the product.
INDEPENDENT = r"""
import io, json, sys, zstandard

def content(path):
    raw = open(path, "rb").read()
    if not path.endswith(".zst"):
        return raw
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw), read_across_frames=True).read()

def at(evidence):
    start = evidence["offset_bytes"]
    line = content(evidence["readable_at"])[start:start + evidence["length_bytes"]]
    return json.loads(line.lstrip(b"\xef\xbb\xbf").strip(b"\0\r"))

def codex(row, line, role):
    payload = line["payload"]
    if role == "usage":
        return (payload.get("latest_token_usage_record") or payload)["usage"]
    return payload["info"]["total_token_usage" if role == "total" else "last_token_usage"]

def claude(row, line):
    message = line["message"] if line["type"] == "assistant" else line["data"]["message"]["message"]
    usage = message["usage"]
    if ":advisor:" in row["source_id"]:
        usage = usage["iterations"][int(row["source_id"].rpartition(":")[2])]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    return sum(usage.get(name) or 0 for name in names)

def gptme(line):
    usage = line["metadata"].get("usage") or line["metadata"]
    names = ("input_tokens", "cache_read_tokens", "cache_creation_tokens", "output_tokens")
    return sum(usage.get(name) or 0 for name in names)

def tokens(row):
    lines = {each["role"]: at(each) for each in row["evidence"]}
    if row["agent"] == "claude_code":
        return claude(row, lines["value"])
    if row["agent"] == "gptme":
        return gptme(lines["value"])
    total = 0
    for sign, part in zip((1, -1), row["formula"].split(" - ")):
        what, _, role = part.partition(" of ")
        stated = codex(row, lines[role], what) if role in lines else {}
        total += sign * ((stated.get("input_tokens") or 0) + (stated.get("output_tokens") or 0))
    return total

print(sum(tokens(row) for row in json.load(sys.stdin)["rows"]))
"""


def explained(host: Host, what: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = main(["explain", what, "--json", "--state-dir", str(host.state.root), "--home", str(host.home)])
    assert 0 == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def recomputed(document: dict[str, Any]) -> int:
    run = subprocess.run(
        [sys.executable, "-c", INDEPENDENT], input=json.dumps(document), capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.parametrize("day", [f"2026-11-0{n}" for n in range(1, 8)])
def test_a_days_total_is_reproduced_from_its_byte_ranges(
    tmp_path: Path, day: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    An independent script over the ranges that `explain` prints comes to the total of `usage`, for every agent's traps.
    """
    host = Host(tmp_path)
    host.home.rmdir()
    host.home.symlink_to(DEMO_HOME)
    begin_with_empty_tables(host.state)
    catch_up(host.settings, seen_files(host.settings))
    total = sum(row["total_tokens"] for row in host.usage("day")["rows"] if row["day"] == day)

    document = explained(host, day, capsys)

    assert total > 0
    assert total == recomputed(document) == document["totals"]["total_tokens"]


def test_bytes_are_found_again_after_a_move_and_a_compression(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The recorded place is history; `readable_at` is where the same bytes stand now.
    """
    import zstandard

    host.codex().write_bytes(codex_lines([100, 250]))
    host.ingest()
    archived = host.codex(archived=True)
    host.codex().rename(archived)
    packed = archived.with_name(archived.name + ".zst")
    packed.write_bytes(zstandard.ZstdCompressor().compress(archived.read_bytes()))
    archived.unlink()
    host.ingest()

    document = explained(host, THREAD, capsys)

    assert 250 == recomputed(document)
    outcomes = {each["outcome"] for row in document["rows"] for each in row["evidence"]}
    assert outcomes <= {"moved", "same"}


def test_a_deleted_source_is_said_to_be_gone(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The number stays, and so does the place it came from; that it cannot be read again is said.
    """
    host.gptme().write_bytes(gptme_lines([7]))
    host.ingest()
    host.gptme().unlink()
    host.ingest()

    document = explained(host, "2026-11-01", capsys)

    assert [("gone", None)] == [
        (each["outcome"], each["readable_at"]) for row in document["rows"] for each in row["evidence"]
    ]


def test_an_event_that_does_not_count_leads_to_the_call_it_belongs_to(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    `explain #N` answers for a superseded line too.
    """
    host.claude().write_bytes(claude_line("msg_a", 1, stop=None) + claude_line("msg_a", 300))
    host.ingest()
    seq = host.rows("SELECT seq FROM superseded")[0]["seq"]

    document = explained(host, f"#{seq}", capsys)

    assert ["msg_a"] == [row["source_id"] for row in document["rows"]]
    assert ["poorer"] == [each["reason"] for each in document["rows"][0]["superseded"]]


def test_what_is_not_there_is_said_in_one_line(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A name that nothing has is a finding, not a crash.
    """
    host.claude().write_bytes(claude_line("msg_a", 1))
    host.ingest()

    code = main(["explain", "no-such-thing", "--state-dir", str(host.state.root)])

    assert 1 == code
    assert "tallystick usage --by day,session" in capsys.readouterr().err
