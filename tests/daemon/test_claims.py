"""What harnesses claim of their sessions: read as evidence, held apart from everything that was measured."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.claims import Claims
from adapters.contract import ClaimStated, Header, Item, LineRejected, Observation, Root
from daemon.bootstrap import open_log, refresh_and_publish, seen_files
from daemon.cli import main
from daemon.config import read_config
from daemon.discover import Place, sweep
from daemon.documents import Remembered
from daemon.ingest import Ingest
from tests.daemon.conftest import Host, claude_line, codex_lines
from tests.daemon.live import append, daemon, until


def record(session: str, **over: Any) -> dict[str, Any]:
    """Return a record as gptme's harness writes it, as far as it is read; and one field that is not."""
    said = {
        "session_id": session,
        "timestamp": "2026-04-19T03:20:00",
        "start_time": "2026-04-19T02:54:00+00:00",
        "duration_seconds": 1500.4,
        "harness": "claude-code",
        "run_type": "autonomous",
        "category": "cleanup",
        "model": "claude-opus-4-8",
        "input_tokens": 120,
        "output_tokens": 7,
        "cache_read_tokens": 5,
        "trajectory_path": "~/.claude/projects/-srv-repo/one.jsonl",
        "summary": "the words of a conversation",
    }
    return said | over


def claims(host: Host) -> list[dict[str, Any]]:
    return host.rows("SELECT * FROM claims ORDER BY claim_key")


def test_a_claim_is_what_the_record_says_and_no_usage(host: Host) -> None:
    """
    Times in UTC, the end from the duration, the path from the home that is read; no total, no source without usage.
    """
    append(host.claude("one"), claude_line("msg_a", 5))
    before = host.ingest() and host.totals()

    host.records(record("a993"))
    host.ingest()

    (claim,) = claims(host)
    assert ("a993", "claude_code", "autonomous", "cleanup") == (
        claim["session_id"],
        claim["agent"],
        claim["run_type"],
        claim["category"],
    )
    assert ["2026-04-19 02:54:00", "2026-04-19 03:19:00"] == [str(claim[at]) for at in ("started_at", "ended_at")]
    assert str(host.claude("one")) == claim["trajectory_path"] == claim["trajectory_source"]
    assert "present" == claim["trajectory_state"]
    assert before == host.totals() == (1, 15)
    assert 0 == host.usage()["unmetered_sources"]
    assert "conversation" not in json.dumps(host.rows("SELECT * FROM events"), default=str)


def test_records_that_are_rewritten_in_place_are_the_newest_of_each(host: Host) -> None:
    """
    One state per record; unchanged ones add no evidence, a second record of one session is a claim of its own.
    """
    host.records(record("a993"), record("8beb"))
    host.ingest()
    host.records(record("a993", output_tokens=9), record("8beb"), record("8beb", output_tokens=1))
    host.ingest()

    assert [("8beb", 7), ("a993", 9), ("8beb", 1)] == [
        (row["session_id"], row["output_tokens"]) for row in claims(host)
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-5.4", ("gpt-5.4", "stated")), ("<synthetic>", (None, "sentinel")), ("unknown", (None, "sentinel")),
     (None, (None, "missing"))],
)  # fmt: skip
def test_a_word_that_stands_for_no_model_is_none(
    host: Host, model: str | None, expected: tuple[str | None, str]
) -> None:
    """
    Null instead of a guess, and what stood there is told.
    """
    host.records(record("a993", model=model))
    host.ingest()

    (claim,) = claims(host)
    assert expected == (claim["model"], claim["model_state"])


def test_a_claim_whose_log_is_gone_says_so(host: Host) -> None:
    """
    It was looked at when the claim was read, and is evidence: a claim outlives its log.
    """
    host.records(record("a993", trajectory_path="/srv/gone.jsonl"), record("8beb", trajectory_path="logs/x.jsonl"))
    host.ingest()

    states = {row["session_id"]: (row["trajectory_state"], row["trajectory_source"]) for row in claims(host)}
    assert {"a993": ("missing", None), "8beb": ("unusable", None)} == states


def test_a_record_that_cannot_be_read_costs_no_other(host: Host) -> None:
    """
    It is rejected; a half one at the end is still being written.
    """
    path = host.records(record("a993"), record("8beb", input_tokens=-1))
    with path.open("a") as file:
        file.write('{"session_id": "5a')
    host.ingest()

    assert ["a993"] == [row["session_id"] for row in claims(host)]
    assert ["out_of_range"] == [row["code"] for row in host.rows("SELECT code FROM rejected")]


def test_eight_sessions_with_one_number_are_a_teletype(host: Host) -> None:
    """
    Whatever the number: nothing of it stands in the code.
    """
    log = "~/.local/share/gptme/logs/2026-04-19-gptme-evals-x-markdown-64bdd50c/conversation.jsonl"
    rows = [record(f"s{n}", input_tokens=4321, output_tokens=77, trajectory_path=log) for n in range(8)]
    host.records(*rows, record("other", input_tokens=10))
    host.ingest()

    (found,) = host.rows("SELECT * FROM findings WHERE rule = 'teletype'")
    assert ([f"s{n}" for n in range(8)], "critical") == (found["sessions"], found["severity"])


def test_one_log_has_one_name_however_a_record_spells_it(host: Host) -> None:
    """
    Through a link, with dots and doubled slashes, and where it was before its agent archived it.
    """
    log = host.codex()
    append(log, codex_lines([10, 20]))
    (host.home / "link").symlink_to(log.parent)
    spelled = [
        str(log),
        f"{log.parent}//{log.name}",
        f"{log.parent}/../{log.parent.name}/{log.name}",
        f"~/link/{log.name}",
    ]
    rows = [record(f"s{n}", harness="codex", trajectory_path=str(path)) for n, path in enumerate(spelled)]
    host.records(*rows)
    host.ingest()
    assert {str(log)} == {row["trajectory_source"] for row in claims(host)}

    archived = host.codex(archived=True)
    log.rename(archived)
    host.ingest()

    assert {str(archived)} == {row["trajectory_source"] for row in claims(host)}
    (found,) = host.rows("SELECT * FROM findings WHERE rule = 'shared_trajectory'")
    assert ["s0", "s1", "s2", "s3"] == found["sessions"]


@pytest.mark.parametrize("text", ["2026-04-15T12:00:00", "2026-04-15T12:00:00Z", "2026-04-15T12:00:00+05:30"])
def test_noon_is_doubted_in_whatever_zone_it_is(host: Host, text: str) -> None:
    """
    Somebody knew the day alone; a second later is a time.
    """
    host.records(record("a", start_time=text), record("b", start_time=text.replace(":00", ":01", 1)))
    host.ingest()

    assert [("a", "started_at")] == [
        (row["session_id"], row["field"]) for row in host.rows("SELECT * FROM doubtful_times WHERE reason = 'noon'")
    ]


def doubted(host: Host) -> list[tuple[str, str]]:
    query = "SELECT session_id, field FROM doubtful_times WHERE reason = 'noon' ORDER BY ALL"
    return [(row["session_id"], row["field"]) for row in host.rows(query)]


@pytest.mark.parametrize("field", ["timestamp", "start_time", "end_time"])
def test_a_noon_is_doubted_where_it_stands_and_nowhere_else(host: Host, field: str) -> None:
    """
    The other times of the record are good ones, at a quarter of an hour too.
    """
    good = {
        "timestamp": "2026-04-15T10:30:00Z",
        "start_time": "2026-04-15T09:30:00Z",
        "end_time": "2026-04-15T10:15:00Z",
        "duration_seconds": None,
    }
    host.records(record("a", **good | {field: "2026-04-15T12:00:00+02:00"}), record("b", **good))
    host.ingest()

    ours = {"timestamp": "recorded_at", "start_time": "started_at", "end_time": "ended_at"}
    assert [("a", ours[field])] == doubted(host)


class FirstReading(Claims):
    """Says that one of a record's times is noon, and not which."""

    parser_version = 1

    def read_document(self, content: bytes, header: Header) -> Iterable[Item] | LineRejected:
        read = super().read_document(content, header)
        assert not isinstance(read, LineRejected)
        return [replace(each, observations=tuple(map(self._older, each.observations))) for each in read]

    def _older(self, said: Observation) -> Observation:
        if not isinstance(said, ClaimStated):
            return said
        is_noon = bool({"recorded_at", "started_at"} & set(said.body.noon_times)) or None
        return ClaimStated(body=msgspec.structs.replace(said.body, noon_times=(), is_noon=is_noon))


def read_with(host: Host, adapter: Claims) -> None:
    places = [Place(path, adapter, Root(Path(path), "record", is_file=True)) for path in host.claims]
    with open_log(host.settings) as log:
        Ingest(log, lambda: host.now).run(sweep(places, "UTC"))
        refresh_and_publish(host.settings)


def test_a_file_that_an_older_parser_read_is_read_again(host: Host) -> None:
    """
    Its reading doubts every time of such a record that can be the noon; ours replaces it where the file still stands.
    """
    rows = [
        record("a", timestamp="2026-04-15T12:00:00+02:00", start_time="2026-04-15T09:30:00Z"),
        record("b", timestamp="2026-04-15T12:00:00+02:00", start_time="2026-04-15T09:31:00Z"),
        record("c", timestamp="2026-04-15T10:30:00Z", start_time="2026-04-15T09:30:00Z"),
    ]
    host.records(*rows)
    read_with(host, FirstReading())
    assert [("a", "recorded_at"), ("a", "started_at"), ("b", "recorded_at")] == doubted(host)

    read_with(host, Claims())
    assert [("a", "recorded_at"), ("b", "recorded_at")] == doubted(host)
    assert 3 == len(claims(host))


def test_a_record_that_was_deleted_before_a_newer_parser_read_is_claimed_by_nobody(host: Host) -> None:
    """
    It states all that stands in the file, so what only the older one stated is gone; it may come back as it was.
    """
    host.records(record("a"), record("b"))
    read_with(host, FirstReading())

    host.records(record("a"))
    host.ingest()
    assert ["a"] == [row["session_id"] for row in claims(host)]

    host.records(record("a"), record("b"))
    host.ingest()
    assert ["a", "b"] == [row["session_id"] for row in claims(host)]


@pytest.mark.parametrize("damage", ["", "{\n"], ids=["half", "broken line"])
def test_what_a_newer_parser_cannot_see_in_a_damaged_file_is_not_gone(host: Host, damage: str) -> None:
    """
    A record may stand where nothing could be read; once the file is whole, what is not in it is gone.
    """
    path = host.records(record("a"), record("b"))
    read_with(host, FirstReading())

    half = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(half[0] + (damage.encode() or half[1][:20]))
    host.ingest()
    assert ["a", "b"] == [row["session_id"] for row in claims(host)]

    host.records(record("a"))
    host.ingest()
    assert ["a"] == [row["session_id"] for row in claims(host)]


def test_a_file_of_records_that_is_not_there_is_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Somebody named it: an ingest that read everything else is no success.
    """
    append(host.claude(), claude_line("msg_a", 5))

    words = ["--home", str(host.home), "--state-dir", str(host.state.root), "--claims", str(host.home / "gone.jsonl")]
    assert 1 == main(["ingest", *words])
    assert "gone.jsonl is named as a file of records, and it is not there" in capsys.readouterr().err


def test_a_directory_in_the_place_of_a_file_of_records_is_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """
    As a pipe is: nothing was read where somebody said that records are. Once a file stands there, it is.
    """
    append(host.claude(), claude_line("msg_a", 5))
    place = host.home / "records"
    place.mkdir()

    words = ["--home", str(host.home), "--state-dir", str(host.state.root), "--claims", str(place)]
    assert 1 == main(["ingest", *words])
    assert "records (not_regular): what it holds is not counted" in capsys.readouterr().err

    place.rmdir()
    place.write_text(json.dumps(record("a993")) + "\n")
    assert 0 == main(["ingest", *words])
    assert ["a993"] == [row["session_id"] for row in claims(host)]


def test_the_configuration_names_files_of_records(host: Host, tmp_path: Any) -> None:
    """
    Each by its path.
    """
    file = tmp_path / "config.toml"
    file.write_text('[[claims]]\npath = "~/state/sessions/session-records.jsonl"\n')

    assert ("~/state/sessions/session-records.jsonl",) == tuple(each.path for each in read_config(file).claims)


def stated(host: Host, kind: str = "claim") -> int:
    return int(host.rows(f"SELECT count(*) AS n FROM events WHERE kind = '{kind}'")[0]["n"])  # noqa: S608


def test_one_new_record_is_one_claim_for_a_process_that_has_just_begun(host: Host) -> None:
    """
    What was stated is known from the tables: a file of n records that grows by one is one claim and one look more.
    """
    rows = [record(f"s{number}") for number in range(5)]
    host.records(*rows)
    host.ingest()

    host.records(*rows, record("new"))
    host.ingest()

    assert (6, 6) == (stated(host), stated(host, "trajectory"))
    assert 6 == len(claims(host))


@pytest.mark.parametrize("is_published", [True, False], ids=["tables", "log alone"])
def test_a_record_that_was_deleted_is_claimed_by_nobody(host: Host, is_published: bool) -> None:
    """
    Where the tables are gone, the log itself says what stood in the file; and a record that comes back is a claim.
    """
    host.records(record("a993"), record("8beb"), record("8beb", output_tokens=1))
    host.ingest()
    if not is_published:
        host.state.published.unlink()

    host.records(record("8beb"))
    host.ingest()
    assert [("8beb", 7)] == [(row["session_id"], row["output_tokens"]) for row in claims(host)]

    host.records(record("8beb"), record("a993"))
    host.ingest()
    assert ["8beb", "a993"] == sorted(row["session_id"] for row in claims(host))
    assert 4 == stated(host)


def test_half_a_file_of_records_takes_none_back(host: Host) -> None:
    """
    A harness that is writing its file anew has not deleted what it has not written yet.
    """
    path = host.records(record("a993"), record("8beb"), record("77aa"))
    whole = path.read_bytes()
    host.ingest()

    path.write_bytes(whole[: len(whole) // 2])
    host.ingest()
    assert 3 == len(claims(host))

    path.write_bytes(whole)
    host.ingest()
    assert (3, 3) == (len(claims(host)), stated(host))


def test_a_line_that_cannot_be_read_takes_nothing_back(host: Host) -> None:
    """
    Nobody deleted what stood there; once every line can be read, what is missing is gone.
    """
    path = host.records(record("a993"), record("8beb"), record("77aa"))
    broken, *others = path.read_bytes().splitlines(keepends=True)
    host.ingest()

    path.write_bytes(broken[:40] + b"\n" + b"".join(others))
    host.ingest()
    assert 3 == len(claims(host))
    assert 1 == stated(host, "rejected")

    path.write_bytes(b"".join(others))
    host.ingest()
    assert ["77aa", "8beb"] == [row["claim_key"] for row in claims(host)]


def test_a_file_without_a_last_newline_loses_records_too(host: Host) -> None:
    """
    A harness that joins its records by newlines writes none behind the last.
    """
    path = host.records(record("a993"), record("8beb"), record("77aa"))
    host.ingest()

    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]).rstrip(b"\n"))
    host.ingest()

    assert ["77aa", "8beb"] == [row["claim_key"] for row in claims(host)]


def test_what_was_deleted_behind_half_a_file_is_gone_for_who_saw_both(host: Host) -> None:
    """
    A daemon looks while a file is written: half of it first, then the whole without one record.
    """
    path = host.records(record("a993"), record("8beb"), record("77aa"))
    lines = path.read_bytes().splitlines(keepends=True)
    remembered = Remembered()
    for content in (b"".join(lines), lines[0] + lines[1][:30], lines[0] + lines[2]):
        path.write_bytes(content)
        with open_log(host.settings) as log:
            Ingest(log, lambda: host.now, remembered=remembered).run(seen_files(host.settings))
            refresh_and_publish(host.settings)

    assert ["77aa", "a993"] == [row["claim_key"] for row in claims(host)]
    assert 3 == stated(host)


def test_a_log_that_came_after_its_record_is_not_missing(host: Host, tmp_path: Any) -> None:
    """
    A record that has not changed is not stated again, but where its log was not there it is looked for.
    """
    log = tmp_path / "elsewhere.jsonl"
    host.records(record("a993", trajectory_path=str(log)), record("8beb", trajectory_path="/srv/gone.jsonl"))
    host.ingest()
    assert ["missing", "missing"] == [row["trajectory_state"] for row in claims(host)]

    log.write_text("{}\n")
    host.records(
        record("a993", trajectory_path=str(log)), record("8beb", trajectory_path="/srv/gone.jsonl"), record("new")
    )
    host.ingest()

    assert {"8beb": "missing", "a993": "present", "new": "missing"} == {
        row["claim_key"]: row["trajectory_state"] for row in claims(host)
    }
    assert (3, 4) == (stated(host), stated(host, "trajectory"))


def test_a_daemon_that_was_killed_states_no_record_twice(host: Host, tmp_path: Any) -> None:
    """
    What the log has and the tables do not yet is known as well.
    """
    (tmp_path / "tallystick").mkdir()
    (tmp_path / "tallystick/config.toml").write_text('[[claims]]\npath = "~/state/sessions/session-records.jsonl"\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    rows = [record(f"s{number}") for number in range(5)]

    def logged() -> int:
        return sum(path.read_bytes().count(b'"k":"claim"') for path in host.state.log_directory.glob("*.ndjson"))

    host.records(*rows)
    with daemon(host, environment=environment) as run:
        host.records(*rows, record("more"))
        until(lambda: 6 == logged(), "the sixth record is evidence")
        run.kill()
    host.records(*rows[1:], record("more"), record("last"))
    with daemon(host, environment=environment) as run:
        until(lambda: 7 == logged(), "the seventh record is evidence")
        run.stop()

    assert ["last", "more", "s1", "s2", "s3", "s4"] == sorted(row["claim_key"] for row in claims(host))
    assert (7, 1) == (stated(host), stated(host, "silent"))
