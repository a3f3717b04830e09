"""An old token table comes in: classified, never promoted, once, and it can be taken back."""

import csv
import json
import os
import random
import re
import shlex
import subprocess
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import main
from daemon.inbox_client import submit, submit_all
from daemon.migration.classify import CLASSES, origin_of
from daemon.migration.delivery import BATCH
from daemon.migration.plan import ROWS_MAX, Plan, plan_of
from daemon.migration.report import Reading, RowRefused, report_of
from daemon.migration.table import COLUMNS, Export, Format
from daemon.receipts import Recorded
from tests.daemon.conftest import Host, claude_line, codex_lines
from tests.daemon.live import daemon, until
from tests.daemon.test_cli import TALLYSTICK
from tests.daemon.test_tasks import claude_call, codex_call

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "migration.md"

CANARY = "canary-51c9"
HOOKED = "10000000-0000-4000-8000-000000000001"
LOST, KEPT, NAMED = (f"019a0000-0001-7000-8000-00000000000{number}" for number in (1, 2, 3))
TABLE = ("id", "tokens_in", "tokens_out", "task_id", "repo", "agent", "model", "note", "created_at")


def row(number: int, tokens: tuple[Any, Any] = (100, 10), **said: Any) -> dict[str, Any]:
    """Return a row as the old table keeps it: after the flatline, with nothing that says where it is from."""
    stated = {"id": number, "tokens_in": tokens[0], "tokens_out": tokens[1], "created_at": "2026-05-20T09:00:00+00:00"}
    return stated | {"repo": "state-hub"} | said


def written(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as the table's own export would: CSV by the file's name, else a list of objects."""
    rows = list(rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return path
    columns = dict.fromkeys([*TABLE, *(name for each in rows for name in each)])
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(columns))
        table.writeheader()
        table.writerows(rows)
    return path


def told(host: Host, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run `tallystick import`, and return what it says."""
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    capsys.readouterr()
    assert code == main(["import", *arguments, "--json", *place])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "tallystick.import/1" == document["schema"]
    return document


def became(document: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return {each["class"]: each["became"] for each in document["classes"]}


def plan(path: Path, **how: Any) -> Plan:
    """Return what a file comes to where nothing is known before."""
    form: Format = {".json": "json", ".ndjson": "ndjson"}.get(path.suffix, "csv")  # type: ignore[assignment]
    return plan_of(Export(path, form).rows(), Reading("token_events", **how), {})


def stated(host: Host) -> dict[str, tuple[int, int | None]]:
    """Return what counts as estimated, by the row's own key: its revision and its input."""
    rows = host.rows(
        "SELECT r.message_key, r.revision, u.input_tokens FROM usage_estimated AS u JOIN token_reports AS r USING (seq)"
    )
    return {each["message_key"]: (each["revision"], each["input_tokens"]) for each in rows}


# ---- the playbook


def mixed() -> list[dict[str, Any]]:
    """
    Return the table of the second seed: hooks before May 19, then a flatline of fallbacks and syncs, then a backfill.
    """
    before = "2026-05-15T11:00:00+00:00"
    return [
        row(1, (900, 90), task_id="T-10", agent="claude", note="measured by task_token_hook", created_at=before),
        row(2, (800, 80), task_id="T-11", agent="claude", note="measured by task_token_hook", created_at=before),
        row(3, (500, 50), task_id="T-20", agent="codex", note="heuristic task-completion fallback"),
        row(4, (500, 50), task_id="T-21", agent="codex", note="heuristic task-completion fallback"),
        row(5, (500, 50), task_id="T-21", agent="codex", note="fallback", created_at="2026-05-21T09:00:00+00:00"),
        row(6, (500, 50), task_id="T-22", agent="codex", note="heuristic task-completion fallback"),
        row(7, (300, 30), task_id="T-30", note="fix-consistency: status sync"),
        row(8, (300, 30), task_id="T-31", note="bulk-import"),
        row(9, (0, 0), task_id="T-32", note="heuristic task-completion fallback"),
        row(10, (700, 7), agent="codex", note=f"backfill:codex-session {LOST}"),
        row(11, (900, 9), agent="codex", note=f"backfill:codex-session {LOST}"),
        row(12, (100, 0), agent="codex", note=f"backfill:codex-session {KEPT}"),
        row(13, (250, 0), agent="codex", note=f"backfill:codex-session rollout-2026-05-20T10-00-00-{NAMED}.jsonl"),
        row(14, (40, 4), note=f"{CANARY} said over lunch"),
        row(15, (40, 4), measurement_kind="measured", source_provider="codex", source_id=LOST),
        row(16, (60, 6), measurement_kind="allocated", task_id="T-10"),
    ]


def on_disk(host: Host) -> None:
    """Write the logs that are left: a Claude session that named T-10, and two of the three backfilled rollouts."""
    begun, on = ("2026-05-15T10:59:00.000Z", "2026-05-15T10:59:30.000Z")
    naming = claude_call("msg_a", "T-10", session=HOOKED, timestamp=begun)
    host.claude(HOOKED).write_bytes(naming + claude_line("msg_b", 5, session=HOOKED, timestamp=on))
    header, turn, *totals = codex_lines([100, 250], thread=NAMED, start=30).splitlines(keepends=True)
    first = codex_call("T-20").replace(b"10:01:00", b"10:00:31")
    rollout = b"".join((header, turn, first, *totals, codex_call("T-20")))
    host.codex(NAMED).write_bytes(rollout.replace(b"2026-11-01T10:0", b"2026-05-20T08:3"))
    host.codex(KEPT).write_bytes(codex_lines([100], thread=KEPT).replace(b"2026-11-01T10:0", b"2026-05-20T08:3"))


def blocks() -> list[str]:
    """Return the commands of the playbook, block by block."""
    return re.findall(r"^```sh\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


def do(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Do what one line of the page says, in this folder; a command of ours in this process, which spares its start."""
    command, may_find, _ = line.partition(" || test $? -eq 1")
    words = [os.path.expandvars(word) for word in shlex.split(command)]
    if words[0] != "tallystick":
        subprocess.run(["sh", "-eu", "-c", line], check=True)
        return ""
    arguments, target = (words[1:-2], words[-1]) if ">" in words else (words[1:], None)
    capsys.readouterr()
    code = main(arguments)
    said = capsys.readouterr()
    assert code in ((0, 1) if may_find else (0,)), (line, said.err)
    if target:
        Path(target).write_text(said.out)
    return said.out + said.err


def measured_of(path: Path) -> dict[str, Any]:
    """Return what `usage --json` called measured: the rows, and the total."""
    document = json.loads(path.read_text())
    rows = [each for each in document["rows"] if each["measurement"] == "measured"]
    return {"rows": rows, "total": document["totals"]["measured"]}


@pytest.mark.timeout(600)
def test_the_playbook_runs_as_it_is_written(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Over the mixed table: measured totals stand still at every step, what has a log gives way, and no fallback leaks.
    """
    on_disk(host)
    host.ingest()
    done = {"task_id": "T-22", "status": "completed", "origin": "hook", "estimated_output_tokens": 5}
    submit(host.state, "task", done, producer="hub")
    written(tmp_path / "token_events.csv", mixed())
    place = {"TALLYSTICK_STATE_DIR": host.state.root, "TALLYSTICK_HOME": host.home, "state": host.state.root}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)

    shown = "".join(do(line, capsys) for block in blocks()[:-1] for line in block.splitlines())

    said = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert {
        "hook_report": {"estimated": 1, "measured_since": 1},
        "task_fallback": {"measured_since": 1, "estimated": 1, "updated": 1, "one_per_task": 1},
        "bulk_side_effect": {"not_usage": 2},
        "superseded": {"not_usage": 1},
        "session_backfill": {"estimated": 1, "updated": 2, "measured_since": 2},
        "no_provenance": {"estimated": 1},
        "allocated_share": {"not_usage": 1},
    } == became(said["import"])
    assert (
        said["dry-run"]["classes"] == said["import"]["classes"] == said["again"]["classes"] == said["last"]["classes"]
    )
    assert [16, 16, 16, 0] == [said[step]["written"] for step in ("import", "undo", "again", "last")]
    assert measured_of(tmp_path / "before.json") == measured_of(tmp_path / "undone.json")
    assert measured_of(tmp_path / "before.json") == measured_of(tmp_path / "after.json")
    assert 2 * 15 + 250 + 100 == measured_of(tmp_path / "after.json")["total"]["total_tokens"]
    assert {"codex": 550 + 909, "claude_code": 880, None: 5 + 44} == {
        each["agent"]: each["total_tokens"] for each in said["after"]["rows"] if each["measurement"] == "estimated"
    }
    assert [] == leaks(host)
    fallbacks = said["reconcile"]["fallbacks"]
    assert (0, []) == (fallbacks["leaked"], fallbacks["leaked_rows"])
    assert (9, 4, 5) == (fallbacks["events"], fallbacks["measured_since"], fallbacks["counted"])
    assert Path(f"{host.state.root}.before").is_dir()
    assert CANARY not in everything(host) + shown


def leaks(host: Host) -> list[dict[str, Any]]:
    """Return the estimates that count although something was measured of their session, or of their task then."""
    return host.rows("""
        SELECT e.source_id
        FROM usage_estimated AS e
        INNER JOIN usage_measured AS u ON e.session_id = u.session_id
        UNION ALL
        SELECT e.source_id
        FROM usage_estimated AS e
        INNER JOIN usage_allocated AS a ON e.task_id = a.task_id
        WHERE a.called_at BETWEEN e.called_at - INTERVAL 1 DAY AND e.called_at + INTERVAL 1 HOUR
    """)


def everything(host: Host) -> str:
    """Return all that was stored, as text."""
    log = "".join(path.read_text() for path in sorted(host.state.log_directory.glob("*.ndjson")))
    return log + json.dumps(host.rows("SELECT * FROM events"), default=str)


def test_the_page_names_every_class_column_and_bound() -> None:
    """
    What an operator reads is what the code does.
    """
    text = DOCUMENT.read_text()

    assert [] == [each for each in CLASSES if f"| `{each}` |" not in text]
    names = [name for ours, spellings in COLUMNS.items() for name in (ours, *spellings)]
    assert [] == [each for each in names if f"`{each}`" not in text]
    assert f"{ROWS_MAX:,} rows" in text


# ---- what a row was


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"note": f"backfill:codex-session {LOST}"}, ("session_backfill", LOST, "codex")),
        (
            {"note": f"backfill:codex-session: /x/rollout-2026-05-20T10-00-00-{LOST}.jsonl.zst"},
            ("session_backfill", LOST, "codex"),
        ),
        ({"note": "backfill:claude-session s-1"}, ("session_backfill", "s-1", "claude_code")),
        *(
            ({"note": form.format(LOST)}, ("session_backfill", LOST, "codex"))
            for form in (
                "backfill:codex-session {}.",
                "backfill:codex-session {};src=rollout",
                "backfill:codex-session {0};src=/x/rollout-2026-05-20T10-00-00-{0}.jsonl",
                "backfill:codex-session '{}'",
                "backfill:codex-session ({})",
                "backfill:codex-session {}, total",
                "Backfill: Codex-Session {}",
                "backfill codex session {}",
                "backfill:codex-session=/x/019a0000-0009-7000-8000-000000000009/rollout-2026-05-20T10-00-00-{}.jsonl",
            )
        ),
        ({"note": "backfill:codex-session", "session_id": LOST}, ("session_backfill", LOST, "codex")),
        *(
            ({"note": f"backfill:codex-session{rest}"}, ("session_backfill", None, "codex"))
            for rest in ("", " a/b", " total", ", 3 sessions", f" {LOST};{KEPT}")
        ),
        ({"note": "Heuristic task-completion fallback"}, ("task_fallback", None, None)),
        ({"note": "fix-consistency: fallback"}, ("bulk_side_effect", None, None)),
        ({"note": "sync"}, ("bulk_side_effect", None, None)),
        ({"note": "sync with Ann about the sync"}, ("no_provenance", None, None)),
        ({"note": "imported from the notebook"}, ("no_provenance", None, None)),
        ({"note": "superseded by backfill"}, ("superseded", None, None)),
        ({"note": "measured by hook"}, ("hook_report", None, None)),
        ({}, ("no_provenance", None, None)),
        ({"session_id": "s-1"}, ("hook_report", None, None)),
        ({"tokens_in": "0", "tokens_out": 0, "note": "heuristic"}, ("superseded", None, None)),
        ({"measurement_kind": "superseded", "source_id": "s", "source_provider": "codex"}, ("superseded", None, None)),
        ({"superseded_by": 17}, ("superseded", None, None)),
        *(
            ({"superseded_by": text}, ("no_provenance", None, None))
            for text in (0, False, None, "0", "FALSE", "None", "null", "(NULL)", "NaN", " nan ")
        ),
        ({"tokens_in": 0, "tokens_out": 0, "cached_input_tokens": 5000}, ("no_provenance", None, None)),
        ({"tokens_in": 0, "tokens_out": 0, "raw_total_tokens": "70"}, ("no_provenance", None, None)),
        ({"tokens_in": 0, "tokens_out": 0, "raw_total_tokens": "0"}, ("superseded", None, None)),
        ({"measurement_kind": "allocated"}, ("allocated_share", None, None)),
        ({"source_class": "task_fallback", "note": "measured by hook"}, ("task_fallback", None, None)),
        ({"source_class": "codex_session", "source_id": LOST, "note": "sync"}, ("session_backfill", LOST, "codex")),
        ({"source_provider": "anthropic", "source_id": "msg_1"}, ("provider_call", None, None)),
        ({"source_provider": "anthropic"}, ("no_provenance", None, None)),
        ({"source_class": "manual"}, ("declared", None, None)),
        ({"note": "Tischgespräch: sync"}, ("no_provenance", None, None)),
    ],
    ids=str,
)
def test_a_row_is_classified_by_its_fields_then_by_its_note(cells: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """
    Structured fields win; a note is held against forms at its beginning, and free text is nothing.
    """
    found = origin_of(cells)

    assert expected == (found.legacy_class, found.session_id, found.agent)


def test_a_backfill_whose_session_nobody_can_name_is_refused_and_counts_nowhere(tmp_path: Path) -> None:
    """
    It would count beside what is measured of its session, and nothing could tell.
    """
    rows = [row(1, note="backfill:codex-session total"), row(2, source_class="codex", source_id="a/b"), row(3)]

    found = plan(written(tmp_path / "old.csv", rows))

    assert [(2, "missing_field", "note"), (3, "invalid_field", "source_id")] == codes(found)
    assert ["import:token_events:3"] == list(found.planned)


@pytest.mark.parametrize("value", ["0", "0.0", "NaN", "false", "null", '"none"'])
def test_a_document_that_says_that_nothing_supersedes_a_row_lets_it_count(tmp_path: Path, value: str) -> None:
    """
    Another table's way to write null is no successor.
    """
    (tmp_path / "old.ndjson").write_text(
        f'{{"id": 1, "tokens_in": 5, "superseded_by": {value}}}\n{{"id": 2, "tokens_in": 5, "superseded_by": 1.0}}\n'
    )

    (counts, superseded) = plan(tmp_path / "old.ndjson").planned.values()

    assert b"no_provenance" in counts.message.content
    assert b'"superseded"' in superseded.message.content


def test_an_operator_teaches_further_notes() -> None:
    """
    What a note begins with in this table, its keeper knows.
    """
    assert "bulk_side_effect" == origin_of({"note": "Nightly mirror 7"}, [("bulk_side_effect", "nightly")]).legacy_class


RAW = {
    "input_tokens": 100,
    "cached_input_tokens": 60,
    "output_tokens": 10,
    "reasoning_output_tokens": 4,
    "total_tokens": 110,
}
PROVEN = {
    "id": 1,
    "measurement_kind": "measured",
    "source_provider": "codex",
    "source_id": LOST,
    "tokens_in": 100,
    "tokens_out": 10,
    "raw_usage": RAW,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("measured", 40, 60)),
        ({"raw_usage": json.dumps(RAW)}, ("measured", 40, 60)),
        ({"measurement_kind": None}, ("estimated", 100, None)),
        ({"measurement_kind": "estimated"}, ("estimated", 100, None)),
        ({"source_id": None}, ("estimated", 100, None)),
        ({"source_provider": None}, ("estimated", 100, None)),
        ({"raw_usage": None}, ("estimated", 100, None)),
        ({"raw_usage": {"lines": 7, "tokens": 900}}, ("estimated", 100, None)),
        ({"raw_usage": None, "cached_input_tokens": 60}, ("estimated", 40, 60)),
        ({"raw_usage": None, "source_provider": None, "cached_input_tokens": 60}, ("estimated", 100, None)),
        (
            {"raw_usage": None, "source_provider": None, "cached_input_tokens": 60, "raw_total_tokens": 170},
            ("estimated", 100, 60),
        ),
        ({"note": "sync", "source_id": None}, ("estimated", 100, None)),
        ({"raw_usage": None, "source_provider": None, "cached_input_tokens": 5_000}, ("estimated", 100, 5_000)),
    ],
    ids=str,
)
def test_nothing_is_promoted_without_a_source(change: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """
    Measured is what says so and has provider, id and the provider's numbers; how cached input is meant is not guessed.
    """
    cells = {name: value for name, value in (PROVEN | change).items() if value is not None}

    body = report_of(cells, Reading("token_events")).body

    assert expected == (body["measurement"], body["input_tokens"], body.get("cache_read_tokens"))


def test_raw_numbers_that_are_not_the_rows_own_refuse_it() -> None:
    """
    Which of the two is right, nobody knows.
    """
    with pytest.raises(RowRefused, match="contradicts"):
        report_of(PROVEN | {"tokens_out": 11}, Reading("token_events"))


# ---- once, in any order, and back


def test_a_table_imported_twice_or_in_another_order_is_the_same(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Neither order, nor format, nor repetition, nor what a killed import had sent adds an event or changes a fact.
    """
    host.ingest()
    other = Host(_made(tmp_path / "other"))
    other.ingest()
    rows = mixed()
    file = written(tmp_path / "old.csv", rows)
    random.Random(7).shuffle(rows)
    shuffled = written(tmp_path / "old.json", [*rows, rows[0]])

    told(host, capsys, str(file))
    killed = plan(shuffled).to_write
    submit_all(other.state, killed[:9])
    once = told(other, capsys, str(shuffled))
    events = other.rows("SELECT count(*) FROM events")
    again = told(other, capsys, str(shuffled))

    assert host.facts_hash() == other.facts_hash()
    assert (7, 1, 0, 16) == (once["written"], once["repeated"], again["written"], again["unchanged"])
    assert events == other.rows("SELECT count(*) FROM events")


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_killed_import_is_taken_up_by_the_next(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    What it had sent waits in the inbox or is in the log; the rest is written, and no row twice.
    """
    host.ingest()
    file = written(tmp_path / "old.csv", [row(number) for number in range(1_200)])
    place = ["--home", str(host.home), "--state-dir", str(host.state.root)]
    killed = subprocess.Popen([TALLYSTICK, "import", str(file), *place], stdout=subprocess.DEVNULL)
    until(lambda: any(host.state.inbox.glob("*.json")) or killed.poll() is not None, "no row was sent")
    killed.kill()
    killed.wait()

    done = told(host, capsys, str(file))

    assert {"estimated": 1_200} == became(done)["no_provenance"]
    assert 1_200 == host.rows("SELECT count(*) AS events FROM events WHERE kind = 'token_event'")[0]["events"]
    assert 0 == told(host, capsys, str(file))["written"]


def test_a_corrected_export_supersedes_even_with_less(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A row is its id: what it says later holds, also of another session or another class, and can be taken back.
    """
    host.ingest()
    file = written(tmp_path / "old.csv", [row(1, (900, 0), note=f"backfill:codex-session {LOST}"), row(2), row(3)])
    told(host, capsys, str(file))
    written(file, [row(1, (5, 0), note=f"backfill:codex-session {KEPT}"), row(2), row(3, note="bulk")])

    corrected = told(host, capsys, str(file))

    assert (2, 2) == (corrected["written"], corrected["corrected"])
    first, second = "import:token_events:1", "import:token_events:2"
    assert {first: (1, 5), second: (0, 100)} == stated(host)
    assert 2 == told(host, capsys, str(written(file, [row(1), row(2)])), "--undo")["written"]
    assert {} == stated(host)
    assert 0 == told(host, capsys, str(file), "--undo")["written"]
    assert {"estimated": 2} == became(told(host, capsys, str(file)))["no_provenance"]
    assert {first: (3, 100), second: (2, 100)} == stated(host)
    reasons = host.rows("SELECT DISTINCT reason FROM usage_superseded ORDER BY ALL")
    assert ["not_usage", "updated"] == [each["reason"] for each in reasons]


def test_a_dry_run_writes_nothing_and_says_what_the_import_says(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Not a file of the state directory is made or touched, not even the directory.
    """
    file = written(tmp_path / "old.csv", mixed())
    bare = told(host, capsys, str(file), "--dry-run")
    assert not host.state.root.exists()
    on_disk(host)
    host.ingest()
    before = _files(host.state.root)

    tried = told(host, capsys, str(file), "--dry-run")

    assert before == _files(host.state.root)
    assert {"estimated": 3, "updated": 2} == became(bare)["session_backfill"]
    done = told(host, capsys, str(file))
    assert (tried["classes"], tried["measured"]) == (done["classes"], done["measured"])


def _files(root: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in sorted(root.rglob("*"))}


def test_with_a_daemon_running_the_daemon_takes_the_rows(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    It holds the log: the import hands over through the inbox, waits, and says what became of the rows.
    """
    file = written(tmp_path / "old.csv", [row(number) for number in range(300)])
    host.ingest()

    with daemon(host):
        done = told(host, capsys, str(file))
        again = told(host, capsys, str(file))

    assert {"no_provenance": {"estimated": 300}} == became(done) == became(again)
    assert (300, 0) == (done["written"], again["written"])
    assert len(list(host.state.inbox.glob("*.json"))) == 0 < BATCH


# ---- what counts in its place


def test_a_backfill_gives_way_when_its_rollout_turns_up(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    It is an estimate beside what is measured, never in it, until the session itself is; its time is its own.
    """
    rows = [row(1, (70, 7), note=f"backfill:codex-session {KEPT}"), row(2, created_at=None)]
    host.ingest()
    told(host, capsys, str(written(tmp_path / "old.csv", rows)))
    times = host.rows("SELECT called_at FROM usage_estimated ORDER BY called_at NULLS LAST")
    assert ["2026-05-20 09:00:00", "None"] == [str(each["called_at"]) for each in times]
    assert (0, None) == host.totals()

    host.codex(KEPT).write_bytes(codex_lines([100], thread=KEPT))
    host.ingest()

    assert (1, 100) == host.totals()
    assert ["import:token_events:2"] == list(stated(host))
    superseded = host.rows("SELECT session_id, reason FROM usage_superseded")
    assert [{"session_id": KEPT, "reason": "measured_since"}] == superseded


def test_a_session_in_capitals_is_the_session(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A UUID is one however a table spells it; an id that is none is another in capitals.
    """
    session = f"{HOOKED[:-3]}abc"
    host.claude(session).write_bytes(claude_line("msg_a", 5, session=session))
    host.ingest()

    rows = [row(1, agent="claude", session_id=session.upper()), row(2, agent="claude", session_id="S-1")]
    done = told(host, capsys, str(written(tmp_path / "old.csv", rows)))

    assert {"hook_report": {"measured_since": 1, "estimated": 1}} == became(done)
    reported = host.rows("SELECT session_id FROM token_reports ORDER BY message_key")
    assert [session, "S-1"] == [each["session_id"] for each in reported]


def test_of_two_rows_about_one_session_only_backfills_are_one(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A backfill restores the session, so the greater counts; a hook reported a part, so each row does. The page says so.
    """
    backfill = f"backfill:codex-session {LOST}"
    rows = [
        row(1, (100, 10), note=backfill),
        row(2, (90, 10), note=backfill),
        row(3, (100, 10), note="measured by hook", session_id="s-1"),
        row(4, (90, 10), note="measured by hook", session_id="s-1"),
        row(5, (80, 10), source_provider="acme", source_id="call-1"),
        row(6, (70, 10), source_provider="acme", source_id="call-1"),
    ]
    told(host, capsys, str(written(tmp_path / "old.csv", rows)))

    counted = {int(key.rpartition(":")[2]): tokens for key, (_, tokens) in stated(host).items()}
    assert {1: 100, 3: 100, 4: 90, 5: 80} == counted
    text = " ".join(DOCUMENT.read_text().replace("**", "").split())
    assert "Two backfills of one session, or two rows of one call, count once, the greater" in text
    assert "each `hook_report` counts by itself" in text


def test_a_call_that_a_log_has_counts_there(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    An estimate of a call and a proven report of a session both give way to the agent's own log.
    """
    host.codex(LOST).write_bytes(codex_lines([110], thread=LOST))
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    (call,) = host.rows("SELECT source_id FROM usage_measured WHERE agent = 'claude_code'")
    rows = [PROVEN | {"created_at": "2026-05-20T09:00:00Z"}, row(2, source_provider="anthropic", **call)]

    done = told(host, capsys, str(written(tmp_path / "old.json", rows)))

    assert {"session_backfill": {"in_log": 1}, "provider_call": {"measured_since": 1}} == became(done)
    assert (2, 125) == host.totals()


def test_an_import_is_taken_back_without_the_options_that_made_it(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The log holds what each row was read as. Rows that contradict each other by now, or that the file does not have any
    more, are taken back like others; and all can be imported again.
    """
    host.ingest()
    local = "2026-05-20 09:00:00"
    rows = [{"id": n, "prompt": 10 * n, "created_at": local, "note": "lunch"} for n in (1, 2, 3)]
    file = written(tmp_path / "old.csv", [{"tokens_out": 1} | each for each in rows])
    how = ["--map", "prompt=tokens_in", "--timezone", "Europe/Berlin", "--note", "declared=lunch"]
    told(host, capsys, str(file), *how)
    counted = stated(host)
    assert 3 == len(counted)
    written(file, [rows[0], rows[0] | {"prompt": 99}, rows[1]])

    dry = told(host, capsys, str(file), "--undo", "--dry-run")
    undone = told(host, capsys, str(file), "--undo")

    assert (2, 0, 1) == (undone["written"], undone["unreadable"], undone["repeated"])
    assert (dry["classes"], {"withdrawn": 2}) == (undone["classes"], became(undone)["declared"])
    assert {"import:token_events:3"} == stated(host).keys()
    whole = ["--undo", "--table", "token_events"]
    rest = told(host, capsys, *whole)
    assert (1, 2, {}) == (rest["written"], rest["unchanged"], stated(host))
    assert 0 == told(host, capsys, *whole)["written"]
    for words in (["--undo", "--table", "another"], [str(file), "--undo", "--table", "another"]):
        for dry_run in ([], ["--dry-run"]):
            assert 2 == main(
                ["import", *words, *dry_run, "--home", str(host.home), "--state-dir", str(host.state.root)]
            )
            assert "table=another" in capsys.readouterr().err
    written(file, [{"tokens_out": 1} | each for each in rows])
    assert 3 == told(host, capsys, str(file), *how)["written"]
    assert counted.keys() == stated(host).keys()
    for wrong in ([], ["--undo"], ["--table", "token_events"]):
        assert 2 == main(["import", *wrong, "--state-dir", str(host.state.root)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Claude Code", "claude_code"),
        ("Claude Code (Opus)", "claude_code"),
        ("claude-code v2.1.3", "claude_code"),
        ("Claude Code CLI", "claude_code"),
        ("OpenAI Codex", "codex"),
        ("Codex CLI 0.46.0", "codex"),
        ("Codex (VS Code)", "codex"),
        ("open code", "opencode"),
        ("my agent", "my_agent"),
    ],
)
def test_the_name_under_which_people_know_an_agent_is_its_own(name: str, expected: str) -> None:
    """
    With a version or a bracket behind it, too; a name that nobody knows is a word of its own.
    """
    assert expected == report_of(row(1, agent=name), Reading("t")).body["agent"]


@pytest.mark.parametrize(("column", "value"), [("agent", "claude.ai"), ("repo", "https://example.org/a b")])
def test_a_row_that_is_refused_says_what_to_do(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, value: str
) -> None:
    """
    To leave the column out is one way, and then the row is in.
    """
    host.ingest()
    file = written(tmp_path / "old.csv", [row(1) | {column: value}])

    (refused,) = told(host, capsys, str(file), code=1)["errors"]

    assert (column, True) == (refused["field"], f"--map {column}=" in refused["next"])
    assert 1 == told(host, capsys, str(file), "--map", f"{column}=")["written"]


# ---- files as they are


def codes(found: Plan) -> list[tuple[int, str, str | None]]:
    return [(each.line, each.code, each.field) for each in found.unreadable]


HEADER = b"id,tokens_in,tokens_out,note,created_at\n"
GOOD = b"9,1,2,x,2026-05-20T09:00:00Z\n"


@pytest.mark.parametrize(
    ("content", "rows", "refused"),
    [
        (b"\xef\xbb\xbf" + HEADER + GOOD, 1, []),
        ((HEADER + GOOD).replace(b",", b";"), 1, []),
        ((HEADER + GOOD).replace(b",", b"\t").replace(b"\n", b"\r\n"), 1, []),
        (b"sep=;\n" + (HEADER + GOOD).replace(b",", b";"), 1, []),
        (HEADER + b'1,1,2,"two\nlines, ""quoted""",2026-05-20T09:00:00Z\n' + GOOD, 2, []),
        (HEADER + b'1,1,2,"never closed,2026-05-20T09:00:00Z\n' + GOOD, 1, [(2, "invalid_row", None)]),
        (
            HEADER + b'1,1,2,a "b,2026-05-20T09:00:00Z\n' + GOOD + b'2,1,2,a "b,\n',
            1,
            [(2, "invalid_row", None), (4, "invalid_row", None)],
        ),
        (HEADER + b"1,1,2\n" + GOOD + b"\n", 1, [(2, "invalid_row", None)]),
        (HEADER + b"1,=1+1,2,x,\n" + GOOD, 1, [(2, "invalid_field", "tokens_in")]),
        (HEADER + b"1,-5,2,x,\n" + GOOD, 1, [(2, "out_of_range", "tokens_in")]),
        (HEADER + b"1,1.5,2,x,\n" + GOOD, 1, [(2, "invalid_field", "tokens_in")]),
        (HEADER + b"1,1e3,2,x,\n" + GOOD, 1, [(2, "invalid_field", "tokens_in")]),
        (HEADER + "1,\u0661,2,x,\n".encode() + GOOD, 1, [(2, "invalid_field", "tokens_in")]),
        (HEADER + b"1,1" + b"0" * 30 + b",2,x,\n" + GOOD, 1, [(2, "out_of_range", "tokens_in")]),
        (HEADER + b"1,1" + b"0" * 5000 + b",2,x,\n" + GOOD, 1, [(2, "out_of_range", "tokens_in")]),
        (HEADER + b"1,,,x,\n" + GOOD, 1, [(2, "missing_field", "tokens_in")]),
        (HEADER + b",1,2,x,\n" + GOOD, 1, [(2, "missing_field", "id")]),
        (HEADER + b"1\0,1,2,x,\n" + GOOD, 1, [(2, "invalid_field", "id")]),
        (HEADER + b"1,1,2,caf\xe9,\n" + GOOD, 1, [(2, "invalid_field", "note")]),
        (HEADER + b"1,1,2,x,2026-05-20T09:00:00\n" + GOOD, 1, [(2, "needs_zone", "created_at")]),
        (HEADER + b"1,1,2,x,2026-05-20\n" + GOOD, 1, [(2, "invalid_field", "created_at")]),
        (HEADER + b"1,1,2,x,1779267600\n" + GOOD, 1, [(2, "invalid_field", "created_at")]),
        (HEADER + b"1,1,2,x,0000-00-00 00:00:00\n" + GOOD, 1, [(2, "invalid_field", "created_at")]),
        (HEADER + b"1,1,2,x,\n1,1,3,x,\n1,1,2,x,\n" + GOOD, 1, [(3, "contradicts", "id"), (2, "contradicts", "id")]),
        (HEADER + b"1,1,2,x,\n1,1,2,another note,\n" + GOOD, 2, []),
        (HEADER + b"1,1,2,x,\n" * 3 + b"   \n" + GOOD, 2, []),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_one_bad_row_stops_no_other(
    tmp_path: Path, content: bytes, rows: int, refused: list[tuple[int, str, str | None]]
) -> None:
    """
    It is told with line and column; the good ones beside it are read.
    """
    (tmp_path / "old.csv").write_bytes(content)

    found = plan(tmp_path / "old.csv")

    assert (rows, refused) == (len(found.planned), codes(found))
    assert "import:token_events:9" in found.planned


def test_a_line_of_a_quarter_gibibyte_is_skipped_and_not_kept(tmp_path: Path) -> None:
    """
    Neither it nor an unclosed quote before it takes memory or other rows.
    """
    with (tmp_path / "old.csv").open("wb") as file:
        file.write(HEADER + b'1,1,2,"open,\n')
        file.truncate(file.tell() + 2**28)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + GOOD)

    tracemalloc.start()
    found = plan(tmp_path / "old.csv")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert ([(2, "invalid_row", None), (3, "too_long", None)], 1) == (codes(found), len(found.planned))
    assert peak_bytes < 2**25


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("old.csv", b"", "no_rows"),
        ("old.csv", b"id,tokens_in,tokens_in\n1,2,3\n", "duplicate_column"),
        ("old.csv", b"id,name\n1,2\n", "missing_column"),
        ("old.csv", (HEADER + GOOD).decode().encode("utf-16"), "not_utf8"),
        ("old.csv", b"\0" * 4096, "not_utf8"),
        ("old.json", b"[]", "no_rows"),
        ("old.json", b"\xff\xfe[]", "not_utf8"),
        ("old.json", b"[" * 100_000, "invalid_json"),
        ("old.json", b'{"rows": 7}', "no_rows"),
        ("old.ndjson", b"\n\n", "no_rows"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_table_is_refused_whole(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str
) -> None:
    """
    Exit code 2, the reason, and nothing is written.
    """
    (tmp_path / name).write_bytes(content)

    code = main(["import", str(tmp_path / name), "--dry-run", "--state-dir", str(host.state.root)])

    assert 2 == code
    assert f"reason={reason}" in capsys.readouterr().err
    assert not host.state.root.exists()


@pytest.mark.parametrize("suffix", [".json", ".ndjson"])
def test_rows_of_json_are_read_like_those_of_csv(tmp_path: Path, suffix: str) -> None:
    """
    A number is a number and a list is none; a name that stands twice makes no row; enormous digits are not worked out.
    """
    good = '{"id": 9, "tokens_in": 1, "tokens_out": null, "created_at": "2026-05-20 09:00:00+00"}'
    bad = [
        '{"id": 1, "tokens_in": 1.0}',
        '{"id": 2, "tokens_in": true}',
        '{"id": 3, "tokens_in": [1]}',
        f'{{"id": 4, "tokens_in": 1{"0" * 30}}}',
        f'{{"id": 5, "tokens_in": -1{"0" * 5000}}}',
        '{"id": 6, "tokens_in": NaN}',
        '{"id": 7, "id": 8, "tokens_in": 1}',
        "7",
    ]
    text = f"[{','.join([good, *bad])}]" if suffix == ".json" else "\n".join([good, *bad])
    (tmp_path / f"old{suffix}").write_text(text)

    found = plan(tmp_path / f"old{suffix}")

    assert ["import:token_events:9"] == list(found.planned)
    field = [(number, "invalid_field", "tokens_in") for number in (2, 3, 4)]
    size = [(number, "out_of_range", "tokens_in") for number in (5, 6)]
    rest = [(7, "invalid_field", "tokens_in"), (8, "invalid_json", None), (9, "invalid_json", None)]
    assert [*field, *size, *rest] == codes(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-20T09:00:00", "2026-05-20T07:00:00Z"),
        ("2026-05-20 09:00:00.5+00", "2026-05-20T09:00:00.500000Z"),
        ("2026-10-25T02:30:00", None),
        ("2026-03-29T02:30:00", None),
    ],
)
def test_a_local_time_needs_a_zone_and_one_meaning(text: str, expected: str | None) -> None:
    """
    The zone is the operator's word; the hour that a change of clocks repeats or leaves out is no time.
    """
    cells = {"id": 1, "tokens_in": 1, "created_at": text}
    reading = Reading("token_events", zone="Europe/Berlin")

    if expected is None:
        with pytest.raises(RowRefused, match="needs_zone"):
            report_of(cells, reading)
    else:
        at = report_of(cells, reading).body["at"]
        assert expected.rstrip("Z") in at.replace("000000Z", "") + at


def test_columns_are_mapped_and_bad_rows_end_with_one(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The good rows are in; each bad one is named by line and column, and no value of it is repeated anywhere.
    """
    host.ingest()
    head = "key,prompt,tokens_out,repo,note,secret\n"
    (tmp_path / "old.csv").write_text(head + f"1,5,6,{CANARY} x,,{CANARY}\n2,{CANARY},6,,{CANARY},\n3,5,6,,{CANARY},\n")
    mapped = ["--map", "key=id", "--map", "prompt=tokens_in", "--table", "ledger", "--note", f"declared={CANARY}"]

    done = told(host, capsys, str(tmp_path / "old.csv"), *mapped, code=1)

    assert [(2, "invalid_field", "repo"), (3, "invalid_field", "tokens_in")] == [
        (each["line"], each["code"], each["field"]) for each in done["errors"]
    ]
    assert "--map repo=" in done["errors"][0]["next"]
    assert ({"declared": {"estimated": 1}}, ["secret"]) == (became(done), done["ignored_columns"])
    assert {"import:ledger:3": (0, 5)} == stated(host)
    assert CANARY not in everything(host) + json.dumps(done)
    place = ["--state-dir", str(host.state.root)]
    for wrong in (["--map", "key"], ["--map", "key=what"], ["--map", "a=id"], ["--note", "x=y"], ["--table", "a b"]):
        assert 2 == main(["import", str(tmp_path / "old.csv"), *wrong, *place])


def test_what_holds_is_asked_of_the_log_where_tables_are_missing(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The tables may be deleted at any time: an import afterwards still adds nothing.
    """
    host.ingest()
    file = written(tmp_path / "old.csv", mixed())
    told(host, capsys, str(file))
    host.state.published.unlink()
    with Recorded(host.state) as recorded:
        assert 16 == len(recorded.held("token_event", "import:token_events:"))

    assert 0 == told(host, capsys, str(file))["written"]
