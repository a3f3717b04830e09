"""
Copies that others take: the same figures in every format, marked as whose and of when, and known to taint.
"""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from daemon.cli import main
from daemon.exports import formats
from daemon.exports.copies import FIGURES, Wanted, copy_of, copyable
from projections.read import Tables
from state.paths import StatePaths
from tests.daemon.conftest import Host, claude_line, codex_lines, gptme_lines
from tests.daemon.seed import DAY, EVALUATION, log, record
from tests.daemon.taken import command, demo_host, document, said

DOCS = Path(__file__).parents[2] / "docs" / "exports.md"
BY = "day,agent,model,repo"
INCLUDED = "estimated,superseded"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return demo_host(tmp_path_factory.mktemp("exports"))


def usage_rows(host: Host) -> list[dict[str, Any]]:
    """Return the rows of `usage --json`, flat, as a copy has them."""
    answer = document(host, "usage", "--by", BY, "--include", INCLUDED, "--json")
    rows = []
    for row in answer["rows"]:
        quality = row.pop("quality", {})
        same = {"timezone": "UTC", "as_of_seq": answer["as_of"]["seq"]}
        flat = row | same | {f"quality_{flag}": value for flag, value in quality.items()}
        rows.append({name: flat.get(name) for name in (*BY.split(","), *FIGURES)})
    return rows


def as_csv(value: Any) -> str:
    return "" if value is None else str(value)


def test_every_format_has_the_figures_of_usage(demo: Host, tmp_path: Path) -> None:
    """
    CSV, JSON and Parquet say what `usage --json` says, row by row, null as null.
    """
    expected = usage_rows(demo)
    asked = ("--by", BY, "--include", INCLUDED, "--no-record")

    text = said(demo, "export", "csv", *asked).decode()
    as_json = document(demo, "export", "json", *asked)
    said(demo, "export", "parquet", *asked, "--out", str(tmp_path / "usage.parquet"))

    assert expected
    assert [{name: as_csv(value) for name, value in row.items()} for row in expected] == list(
        csv.DictReader(io.StringIO(text))
    )
    assert expected == as_json["rows"]
    assert [*BY.split(","), *FIGURES] == [each["name"] for each in as_json["columns"]]
    read = duckdb.read_parquet(str(tmp_path / "usage.parquet"))
    rows = [dict(zip(read.columns, row, strict=True)) for row in read.fetchall()]
    assert expected == [row | {"day": str(row["day"])} for row in rows]
    assert "DATE" == str(read.types[0])


@pytest.mark.parametrize("words", [("--only", "agent=codex"), ("--unattributed",), ("--only", "model=gpt-5.5")])
def test_a_copy_of_a_part_and_of_then_is_the_usage_of_it(host: Host, tmp_path: Path, words: tuple[str, ...]) -> None:
    """
    `--only`, `--unattributed` and `--as-of` choose what they choose of `usage`, in every format; stderr says of when.
    """
    host.codex().write_bytes(codex_lines([100, 250]))
    host.gptme().write_bytes(gptme_lines([7]))
    then = host.ingest().head_seq
    host.codex().write_bytes(codex_lines([100, 250, 900]))
    host.ingest()
    asked = (*words, "--by", "day,model", "--as-of", str(then))
    expected = document(host, "usage", *asked, "--json")

    table = command(host, "export", "csv", *asked, "--no-record")
    as_json = document(host, "export", "json", *asked, "--no-record")
    said(host, "export", "parquet", *asked, "--no-record", "--out", str(tmp_path / "then.parquet"))

    assert b"counted by today's rules" in table.stderr
    assert (str(then), expected["only"]) == (as_json["as_of"]["asked"], as_json["only"])
    now = document(host, "usage", *words, "--by", "day,model", "--json")
    assert now["totals"] != expected["totals"] == as_json["totals"]
    tokens = [row["total_tokens"] for row in expected["rows"]]
    assert tokens
    assert tokens == [row["total_tokens"] for row in as_json["rows"]]
    assert list(map(str, tokens)) == [row["total_tokens"] for row in csv.DictReader(io.StringIO(table.stdout.decode()))]
    read = duckdb.read_parquet(str(tmp_path / "then.parquet"))
    assert tokens == [row[read.columns.index("total_tokens")] for row in read.fetchall()]


@pytest.mark.parametrize("words", [("--as-of", "3"), ("--only", "agent=codex"), ("--unattributed",)])
def test_a_table_is_no_part_and_of_no_other_time(demo: Host, words: tuple[str, ...]) -> None:
    """
    Half a copy would be taken for a whole one.
    """
    done = command(demo, "export", "csv", "--table", "sessions", *words)

    assert (2, b"") == (done.returncode, done.stdout)
    assert words[0].encode() in done.stderr


def test_evidence_of_a_copy_of_then_says_up_to_when(host: Host) -> None:
    """
    What came later is in none of its rows, so that it is not told when that turns out to be wrong.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    then = host.ingest().head_seq
    host.claude().write_bytes(host.claude().read_bytes() + claude_line("msg_b", 5, second=1))
    host.ingest()
    said(host, "export", "csv", "--as-of", str(then), "--only", "task=T-1", "--consumer", "then")
    host.ingest()

    found = host.rows("SELECT table_name, up_to_seq FROM consumers WHERE consumer = 'then' ORDER BY table_name")
    assert [("usage_allocated", then), ("usage_measured", then)] == [tuple(row.values()) for row in found]


def test_a_table_is_copied_whole(demo: Host, tmp_path: Path) -> None:
    """
    Every column of `sql`, every row, in the order of the table's key; the Parquet file says of which commit it is.
    """
    expected = document(demo, "sql", "SELECT * FROM usage_measured ORDER BY agent, source_id", "--json")["rows"]
    seq = document(demo, "usage", "--json")["as_of"]["seq"]
    asked = ("--table", "usage_measured", "--no-record")

    as_json = document(demo, "export", "json", *asked)
    said(demo, "export", "parquet", *asked, "--out", str(tmp_path / "m.parquet"))
    rows = list(csv.DictReader(io.StringIO(said(demo, "export", "csv", *asked).decode())))

    assert expected == as_json["rows"]
    assert seq == as_json["as_of"]["seq"]
    assert [row["source_id"] for row in expected] == [row["source_id"] for row in rows]
    assert sum(row["total_tokens"] for row in expected) == sum(int(row["total_tokens"]) for row in rows)
    stored = duckdb.read_parquet(str(tmp_path / "m.parquet")).aggregate("count(*), sum(total_tokens)").fetchall()
    assert [(len(expected), sum(row["total_tokens"] for row in expected))] == stored
    about = duckdb.execute("SELECT value FROM parquet_kv_metadata(?)", [str(tmp_path / "m.parquet")]).fetchall()
    of = json.loads(about[0][0])
    assert ("tallystick.export/1", "usage_measured", seq) == (of["schema"], of["table"], of["as_of"]["seq"])


def test_every_type_of_column_can_be_copied(demo: Host, tmp_path: Path) -> None:
    """
    Lists, structures, times and JSON too: no type of a column ends a copy.
    """
    target = tmp_path / "t.parquet"
    with Tables(demo.state.published, writes=target) as tables:
        rows = tables.rows("SELECT data_type, min(table_name) AS name FROM duckdb_columns() GROUP BY data_type")
        first = {row["name"] for row in rows if row["name"] in copyable()}
        assert {"TIMESTAMP", "VARCHAR[]", "BOOLEAN", "BIGINT"} <= {row["data_type"] for row in rows}
        for name in sorted(first):
            copy = copy_of(tables, Wanted(name, (), None, None, "UTC", ()))
            rows = json.loads(b"".join(formats.as_json(copy)))["rows"]
            text = b"".join(formats.csv(copy)).decode()
            formats.parquet(tables, copy, target)

            assert len(rows) == len(list(csv.reader(io.StringIO(text, newline="")))) - 1, name
            assert (len(rows), len(copy.columns)) == duckdb.read_parquet(str(target)).shape, name
            target.unlink()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'x"])
def test_no_cell_of_a_csv_file_is_run(text: str) -> None:
    """
    A spreadsheet takes such a cell for a formula; one apostrophe taken off gives the text back.
    """
    (cell,) = next(csv.reader(io.StringIO(formats._cell(text), newline="")))

    assert f"'{text}" == cell


def test_null_empty_and_numbers_are_three_things() -> None:
    """
    Null is nothing, an empty text is quoted, and a negative number is a number.
    """
    assert ["", '""', "-5", "0", "true", '"a,b"', '"a""b"', "[1]"] == [
        formats._cell(each) for each in (None, "", -5, 0, True, "a,b", 'a"b', [1])
    ]


def test_a_branch_with_a_hostile_name_is_text(host: Host) -> None:
    """
    A name that a log states is somebody else's: `@SUM+A1` as a branch ends as text in the copy.
    """
    host.claude().write_bytes(claude_line("msg_a", 5, gitBranch="@SUM+A1"))
    host.ingest()

    text = said(host, "export", "csv", "--by", "branch", "--no-record").decode()

    branches = [row["branch"] for row in csv.DictReader(io.StringIO(text))]
    stored = [row["git_branch"] for row in host.rows("SELECT git_branch FROM usage_measured")]
    assert [None if branch is None else f"'{branch}" for branch in stored] == [each or None for each in branches]


def test_a_copy_is_whole_or_not_there(demo: Host, tmp_path: Path) -> None:
    """
    What cannot be copied leaves what was there before, no half of a file, and nothing on stdout.
    """
    target = tmp_path / "kept.csv"
    target.write_text("before")
    for words in (
        ("export", "csv", "--table", "no_such_table", "--out", str(target)),
        ("export", "csv", "--by", "mood", "--out", str(target)),
        ("export", "csv", "--table", "calls", "--by", "day", "--out", str(target)),
        ("export", "parquet"),
        ("export", "parquet", "--by", "mood", "--out", str(target)),
    ):
        done = command(demo, *words, "--no-record")
        assert (2, b"") == (done.returncode, done.stdout), words
    done = command(demo, "export", "csv", "--consumer", "a b", "--out", str(target))
    assert (2, b"") == (done.returncode, done.stdout)
    assert b"body.consumer" in done.stderr

    assert "before" == target.read_text()
    assert ["kept.csv"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_a_place_that_cannot_be_written_is_said(demo: Host, tmp_path: Path, format_: str) -> None:
    """
    The error names the file, and is none of the state directory.
    """
    target = tmp_path / "missing" / f"x.{format_}"

    done = command(demo, "export", format_, "--no-record", "--out", str(target))

    assert (3, b"") == (done.returncode, done.stdout)
    assert str(target).encode() in done.stderr
    assert b"state directory" not in done.stderr


@pytest.mark.parametrize("words", [("csv",), ("json",), ("ccusage", "daily"), ("ccusage", "blocks")])
def test_where_nothing_was_published_nothing_is_printed(host: Host, words: tuple[str, ...]) -> None:
    """
    Consumers show what they get: an empty table would be shown as no usage.
    """
    done = command(host, "export", *words)

    assert (3, b"") == (done.returncode, done.stdout)
    assert b"tallystick ingest" in done.stderr


def test_tables_that_may_write_a_copy_may_do_nothing_else(demo: Host, tmp_path: Path) -> None:
    """
    The one file that is written, no other, and nothing is read but the tables.
    """
    (tmp_path / "secret").write_text("secret")
    with Tables(demo.state.published, writes=tmp_path / "mine's.csv") as tables:
        for query in (
            f"COPY (SELECT 1) TO '{tmp_path / 'other.csv'}'",
            f"FROM read_text('{tmp_path / 'secret'}')",
            f"ATTACH '{tmp_path / 'other.duckdb'}'",
            "SET allowed_paths = []",
            "SET enable_external_access = true",
            "CREATE TABLE mine (x INTEGER)",
        ):
            with pytest.raises(duckdb.Error):
                tables.connection.execute(query)
        tables.connection.execute(f"COPY (SELECT 1 AS x) TO '{tmp_path}/mine''s.csv'")

    assert {"secret", "mine's.csv"} == {each.name for each in tmp_path.iterdir()}


def test_a_question_may_still_write_nothing(demo: Host, tmp_path: Path) -> None:
    """
    That copies are written takes nothing away from how closed `sql` is.
    """
    done = command(demo, "sql", f"COPY (SELECT 1) TO '{tmp_path / 'x.csv'}'")

    assert (2, []) == (done.returncode, [each.name for each in tmp_path.iterdir()])


def test_a_copy_is_evidence(host: Host, tmp_path: Path) -> None:
    """
    Who took rows of usage stands among the consumers, once for each table; a reader that asks twice is one.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    said(host, "export", "csv", "--out", str(tmp_path / "of may.csv"), "--since", "2026-10-01")
    said(host, "export", "csv", "--consumer", "before", "--until", "2026-10-01")
    said(host, "export", "parquet", "--out", str(tmp_path / "x.parquet"), "--table", "sessions")
    said(host, "export", "csv", "--no-record")
    said(host, "export", "ccusage", "daily", "--consumer", "bar")
    said(host, "export", "ccusage", "daily", "--consumer", "bar")
    host.ingest()

    found = host.rows("SELECT consumer, how, table_name, since FROM consumers ORDER BY consumer")
    assert [
        ("bar", "reader", "usage_measured"),
        ("before", "export", "usage_measured"),
        ("of_may.csv", "export", "usage_measured"),
        ("x.parquet", "export", "sessions"),
    ] == [(row["consumer"], row["how"], row["table_name"]) for row in found]


def test_taint_names_the_copies_in_which_a_bad_row_stood(host: Host, tmp_path: Path) -> None:
    """
    Two records point at one log: who copied the claims is told, whoever copied measured usage has nothing to fear.
    """
    log(host, EVALUATION, DAY - timedelta(hours=2), input_tokens=9, output_tokens=9)
    bad = {"trajectory_path": str(host.gptme(EVALUATION))}
    host.records(record("a", DAY, **bad), record("b", DAY + timedelta(hours=3), **bad))
    host.ingest()
    for table in ("claims", "findings", "usage_measured"):
        said(host, "export", "csv", "--table", table, "--out", str(tmp_path / f"{table}.csv"))
    host.ingest()

    named = document(host, "taint", "--json")["rows"]

    assert {"claims.csv", "findings.csv"} == {row["name"] for row in named if row["what"] == "export"}


def test_without_its_evidence_no_copy_is_handed_out(host: Host, tmp_path: Path) -> None:
    """
    Where the inbox cannot be written nothing is copied; who accepts that says so.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    elsewhere = StatePaths(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    elsewhere.published.write_bytes(host.state.published.read_bytes())
    elsewhere.inbox.write_text("no directory")

    words = ["export", "csv", "--out", str(tmp_path / "x.csv"), "--state-dir", str(elsewhere.root)]

    assert 3 == main(words)
    assert not (tmp_path / "x.csv").exists()
    assert 0 == main([*words, "--no-record"])
    assert (tmp_path / "x.csv").exists()


def test_a_reader_that_asks_again_is_said_once(host: Host) -> None:
    """
    A status bar asks every few seconds: that must not fill inbox and log.
    """
    host.claude().write_bytes(claude_line("msg_a", 5))
    host.ingest()
    for _ in range(3):
        said(host, "export", "ccusage", "daily")
    assert 1 == len(list(host.state.inbox.glob("*.json")))
    host.ingest()
    said(host, "export", "ccusage", "daily")

    assert 0 == len(list(host.state.inbox.glob("*.json")))


def test_the_documentation_names_every_column() -> None:
    """
    docs/exports.md has a row for each column of a copy of usage, in their order.
    """
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    named = [line.split("`")[1] for line in lines]
    columns = [name for name in FIGURES if not name.startswith("quality_")]

    assert [*columns[:3], *columns[3:]] == [name for name in named if name in columns]
    assert "quality_NAME" in named
