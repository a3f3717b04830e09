"""
The demo: bundled synthetic logs through the real pass, shown as an operator sees them, checked against what is true.

What is true was declared before any log line was written (`daemon/demo_logs/generate.py`), so a number that is wrong is
noticed whoever computed it.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from daemon import show
from daemon.bootstrap import Caught, catch_up, seen_files
from daemon.explain import NothingToExplain, Question, explain
from daemon.identity import real_path
from daemon.settings import Settings
from daemon.tail import SourceFile
from daemon.usage_verb import usage_document
from daemon.verbs import DONE, FINDINGS
from projections.read import Tables, Window, plain
from state.paths import StatePaths

#: When the demo is: a few hours after its last log line, so that ages and flags are the same on every machine.
NOW: Final = datetime(2026, 11, 8, 8, tzinfo=UTC)

#: The call that is explained: streamed over four lines, and copied into another session.
EXPLAINED: Final = "msg_demo_graft"

#: Why a statement does not count, in words.
REASONS: Final[Mapping[str, str]] = {
    "poorer": "a partial line; another line of the call says more",
    "repeat": "the same figures, written again",
    "copy": "another file has the same call",
    "weaker_witness": "a copy in a progress line; the call has its own lines",
    "side_question": "a side question that repeats its parent's id",
    "same_line": "the same line, read again",
    "reparsed": "the same line, read by an older parser",
    "updated": "an older state of the same row or item",
    "no_increase": "a total that adds nothing",
    "stale_total": "an old total, written late",
    "rewritten": "the file was rewritten and tells it anew",
    "inherited": "a copy of another thread's history",
    "in_ledger": "the agent's own ledger has the same response",
}

#: What is known to be imperfect, in words.
IMPERFECT: Final[Mapping[str, str]] = {
    "incomplete": "the last line was never written: output is a lower bound",
    "progress_only": "only a copy in a parent's progress lines is left: a lower bound",
    "hidden_calls": "compaction or recap: a call for which nothing was written",
    "split_unknown": "the cache-write split does not sum to its total",
    "clamped": "the stated parts contradict each other",
    "inheritance_unknown": "may hold tokens of a parent that was not seen",
    "time_quality": "the time cannot be trusted: counted, on no day",
    "identity_inferred": "no id: identity is the content",
    "conflict": "two complete witnesses disagree",
    "unmetered": "a file that states no usage: nothing is known, which is not zero",
    "rejected": "a line that cannot be read",
    "unread_bytes": "a line without its end; it counts once the newline is there",
}

#: A name in `usage --json`, and a shorter one for a terminal.
SHOWN: Final[Mapping[str, str]] = {
    "day": "day",
    "agent": "agent",
    "measurement": "class",
    "calls": "calls",
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "total_tokens": "total",
}

Row = dict[str, Any]


def demo(as_json: bool, home: Traversable | None = None) -> int:
    """
    Count the bundled logs in a temporary directory and show the result; 1 when a number is not the declared one.

    Args:
        as_json: Print one document in place of the tables.
        home: Logs to count in place of the bundled ones; what they must come to stays the same.
    """
    bundled = files("daemon") / "demo_logs"
    declared = json.loads((bundled / "expected.json").read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="tallystick-demo-") as place:
        settings = Settings(Path(place) / "home", StatePaths(Path(place) / "state"), zone="UTC", host="demo")
        copy_logs(home or bundled / "home", settings.home)
        caught = catch_up(settings, seen_files(settings), clock=lambda: NOW)
        with Tables(settings.state.published) as tables:
            usage = usage_document(tables, ("day", "agent"), Window(), ())
            by_agent = usage_document(tables, ("agent",), Window(), ())["rows"]
            differences = list(_differences(declared, by_agent, usage))
            if as_json:
                ok = not differences
                show.document({"schema": "tallystick.demo/1", "ok": ok, "differences": differences, "usage": usage})
            else:
                _report(tables, settings, caught, usage, by_agent)
    for each in differences:
        show.warn(f"demo: {each}")
    if not as_json and not differences:
        show.out("\ndemo: all numbers agree with the declared calls, per agent and day, in every class of tokens")
        show.out(_FURTHER)
        show.out(_PAGE.format(program=_program()))
    return FINDINGS if differences else DONE


_FURTHER: Final = """
Your own logs, read the same way (no agent is touched, nothing leaves this machine):
  tallystick ingest
  tallystick usage --by day,agent
  tallystick explain 2026-11-01          or a session, or a call"""

#: How to look at the same in a browser, by the very program that ran.
_PAGE: Final = """
The dashboard over these logs, in a browser of this machine:
  {program} demo --serve"""


def _program() -> str:
    """Return what this program is called by, as it can be typed again."""
    called = Path(sys.argv[0])
    if called.suffix == ".py" or shutil.which(called.name) == str(called):
        return "tallystick"
    here = Path.cwd()
    return str(called.relative_to(here)) if called.is_relative_to(here) else str(called)


def copy_logs(source: Traversable, target: Path) -> None:
    """Copy a folder of package data, whether the package is a directory or an archive."""
    target.mkdir(parents=True)
    for each in source.iterdir():
        if each.is_dir():
            copy_logs(each, target / each.name)
        else:
            (target / each.name).write_bytes(each.read_bytes())


# -- checking --------------------------------------------------------------------------------------------------------


def _differences(declared: Row, by_agent: Sequence[Row], usage: Row) -> Iterator[str]:
    """Yield every number that is not the declared one."""
    counted = {row["agent"]: row for row in by_agent}
    for agent in sorted({*declared["agents"], *counted}):
        true = declared["agents"].get(agent, {"calls": 0})
        yield from _unequal(agent, true, counted.get(agent, {}))
    days = {(row["day"], row["agent"]): row["total_tokens"] for row in usage["rows"]}
    true_days = {(day, agent): total for day, totals in declared["days"].items() for agent, total in totals.items()}
    for day, agent in sorted({*true_days, *days}, key=str):
        yield from _unequal(
            f"{agent} on {day}", {"total_tokens": true_days.get((day, agent))}, {"total_tokens": days.get((day, agent))}
        )
    quality = usage["totals"]["measured"].get("quality", {})
    found = {
        "unmetered_sources": usage["unmetered_sources"],
        "rejected_lines": usage["rejected_lines"],
        "hidden_calls": quality.get("hidden_calls"),
        "progress_only_calls": quality.get("progress_only"),
    }
    yield from _unequal("all agents", {name: declared[name] for name in found}, found)


def _unequal(what: str, declared: Row, counted: Row) -> Iterator[str]:
    for name, true in declared.items():
        if counted.get(name) != true:
            yield f"{what}: {name} is {counted.get(name)}, declared {true}"


# -- showing ---------------------------------------------------------------------------------------------------------


def _report(tables: Tables, settings: Settings, caught: Caught, usage: Row, by_agent: Sequence[Row]) -> None:
    """Print everything; each section answers one question."""
    read = caught.read
    show.out("tallystick demo: a week of invented agent logs, counted the way yours would be")
    show.out(f"the clock of the demo stands at {NOW:%Y-%m-%d %H:%M} UTC")
    _section("Read")
    evidence = f"{read.events} events of evidence, log head #{caught.head_seq}"
    show.out(f"{read.files_read} files, {read.bytes_read:,} bytes: {evidence}")
    show.out(f"{read.rejected} lines could not be read, {usage['unmetered_sources']} files state no usage")
    _section("Measured tokens by agent")
    _print_usage([*by_agent, usage["totals"]["measured"] | {"agent": "all"}], [name for name in SHOWN if name != "day"])
    _section("Measured tokens by day (UTC)")
    _print_usage(usage["rows"], [name for name in SHOWN if name != "reasoning_tokens"])
    _section("Superseded: written down, but not counted, and why")
    show.table(("agent", "reason", "lines", "tokens", "what it is"), _superseded(tables))
    show.out("tokens: what a sum over these lines would have added; none for a running total, which is not usage")
    _section("Freshness")
    show.table(("agent", "state", "files", "newest call", "age", "unread bytes"), _freshness(tables))
    _section("Known to be imperfect")
    show.table(("agent", "flag", "count", "what it means"), _imperfect(tables, by_agent))
    _section("Reconciled: the files' own final totals")
    show.out(_reconciled(tables))
    _section(f"One call, back to its bytes, as `tallystick explain {EXPLAINED}` does")
    with suppress(NothingToExplain):  # logs without this call are told as a difference
        for line in _explained(tables, settings):
            show.out(line)


def _section(title: str) -> None:
    show.out(f"\n{title}\n{'-' * len(title)}")


def _print_usage(rows: Sequence[Row], names: Sequence[str]) -> None:
    shown = [{SHOWN[name]: row.get(name) for name in names} for row in rows]
    show.table([SHOWN[name] for name in names], shown)


def _superseded(tables: Tables) -> list[Row]:
    rows = tables.rows(
        """
        SELECT
            agent, reason, count(*) AS lines,
            CAST(sum(
                input_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
                + coalesce(output_tokens, 0)
            ) AS BIGINT) AS tokens
        FROM usage_superseded
        GROUP BY agent, reason
        ORDER BY agent, lines DESC, reason
        """
    )
    return [row | {"what it is": REASONS.get(row["reason"])} for row in rows]


def _freshness(tables: Tables) -> list[Row]:
    return [
        {
            "agent": row["agent"],
            "state": row["state"],
            "files": row["files"],
            "newest call": f"{row['newest_source_event_at']:%Y-%m-%d %H:%M}" if row["newest_source_event_at"] else None,
            "age": _age(row["newest_source_event_at"]),
            "unread bytes": row["backlog_bytes"],
        }
        for row in tables.freshness()
    ]


def _age(moment: datetime | None) -> str | None:
    """Return how long before the demo's clock *moment* was, in days and hours; naive times are UTC."""
    if moment is None:
        return None
    age = NOW.replace(tzinfo=None) - moment
    return f"{age.days} d {age.seconds // 3600:2} h"


def _imperfect(tables: Tables, by_agent: Sequence[Row]) -> list[Row]:
    """Return every flag that is set, per agent, with the files and lines that say nothing."""
    rows = [(row["agent"], flag, count) for row in by_agent for flag, count in row["quality"].items()]
    rows += [(row["agent"], "unmetered", row["unmetered_files"]) for row in tables.freshness()]
    rows += [(row["agent"], "unread_bytes", row["backlog_bytes"]) for row in tables.freshness()]
    rejected = tables.rows("SELECT agent, count(*) AS count FROM rejected GROUP BY agent")
    rows += [(row["agent"], "rejected", row["count"]) for row in rejected]
    return [
        {"agent": agent, "flag": flag, "count": count, "what it means": IMPERFECT.get(flag)}
        for agent, flag, count in sorted(rows, key=lambda row: row[0])
        if count
    ]


def _reconciled(tables: Tables) -> str:
    row = tables.rows(
        """
        SELECT count(*) AS files, count_if(residual_tokens = 0) AS exact, sum(abs(residual_tokens)) AS tokens
        FROM reconciliation WHERE basis <> 'none'
        """
    )[0]
    return (
        f"{row['exact']} of {row['files']} files that keep one agree to the token; {row['tokens']} tokens unexplained"
    )


def _explained(tables: Tables, settings: Settings) -> Iterator[str]:
    """Yield what one call is made of, down to the bytes, which are read once more."""
    call = explain(tables, Question(EXPLAINED))["rows"][0]
    value = call["evidence"][0]
    yield f"{call['agent']} at {call['called_at'][:19]}: {call['total_tokens']:,} tokens = {call['formula']}"
    yield f"value       #{value['seq']}, bytes {value['offset_bytes']}+{value['length_bytes']} of"
    yield f"            {_shortened(value['source'], settings)}"
    yield f"            line hash {value['line_hash'][:16]}, parser {value['parser']} {value['parser_version']}"
    if value["readable_at"] is not None:
        yield f"            read again: {_stated(value)}"
    for each in call["superseded"]:
        yield f"superseded  #{each['seq']}, by #{each['by_seq']}: {REASONS.get(each['reason'], each['reason'])}"


def _shortened(path: str, settings: Settings) -> str:
    return "~" + path.removeprefix(str(settings.home))


def _stated(place: Row) -> str:
    """Return the usage that stands at *place* now; of the line, nothing but these numbers."""
    with SourceFile(real_path(place["readable_at"])) as file:
        usage = json.loads(file.read_at(place["offset_bytes"], place["length_bytes"]))["message"]["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    return f"{' + '.join(str(plain(usage[name])) for name in names)} (input, cache read, cache write, output)"
