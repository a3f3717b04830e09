"""What each command does once its options are read: ask, then show as one JSON document or for a person."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from daemon import show
from daemon.health.finding import Finding
from daemon.lag import lag_events
from daemon.living import Living, living
from daemon.options import BadOption
from daemon.reconcile.age import last_run
from daemon.reconcile.age import shown as shown_run
from daemon.settings import Settings
from daemon.usage_verb import SHOWN_TOKENS
from projections.read import Tables, plain
from state.errors import LogBroken, TallystickError

DONE, FINDINGS = 0, 1


class NoHome(TallystickError):
    """
    The home whose logs should be read does not exist. Give the right one with --home.
    """

    exit_code = 3


def ingest(settings: Settings, *, as_json: bool) -> int:
    """Run one catch-up pass; 1 when there was nothing to read at all or a place could not be read."""
    from adapters.registry import problems
    from daemon.bootstrap import bytes_found, catch_up, seen_files
    from daemon.discover import RootSeen
    from daemon.guard import failures
    from daemon.progress import shown

    if not settings.home.is_dir():
        raise NoHome(home=settings.home)
    seen = seen_files(settings)
    with shown(bytes_found(seen)) as progress:
        caught = catch_up(settings, seen, progress=progress)
    read = caught.read
    with Tables(settings.state.published) as tables:
        losses = tables.losses()
    document = {
        "schema": "tallystick.ingest/1",
        "files": read.files,
        "files_read": read.files_read,
        "bytes_read": read.bytes_read,
        "events": read.events,
        "rejected_lines": read.rejected,
        "messages": asdict(caught.messages),
        "denied": [
            {"path": show.safe(each.path), "agent": each.adapter.agent, "code": each.code} for each in read.denied
        ],
        "roots_missing": [show.safe(path) for path in read.roots_missing],
        "head_seq": caught.head_seq,
        "lost_events": losses,
    }
    if as_json:
        show.document(document)
    else:
        show.out(
            f"{read.files} files, {read.files_read} read, {read.bytes_read} new bytes, {read.events} events,"
            f" {read.rejected} lines rejected, {caught.messages.stored} messages, log head #{caught.head_seq}"
        )
    for each in read.denied:
        show.warn(f"cannot read {show.safe(each.path)} ({each.code}): what it holds is not counted")
    unclaimed = [
        each.path
        for each in seen
        if isinstance(each, RootSeen) and not each.exists and each.adapter.source_class == "session_record"
    ]
    for path in unclaimed:
        show.warn(f"{show.safe(path)} is named as a file of records, and it is not there")
    if caught.messages.rejected:
        show.warn(f"{caught.messages.rejected} messages were rejected: `tallystick inbox list` says which and why")
    broken = problems()
    for plug_in in broken:
        show.warn(f"plug-in {plug_in.name} of {plug_in.origin} reads nothing: {plug_in.problem}")
    failed = failures()
    for parser, name in failed:
        show.warn(
            f"plug-in {parser} failed in {name}: what it read there is rejected; see `tallystick adapters check FILE`"
        )
    _warn_of_losses(losses)
    if not read.files:
        show.warn(
            "no agent logs found; looked in "
            + ", ".join(show.safe(path) for path in (*read.roots_seen, *read.roots_missing))
        )
        show.warn(
            "if the logs are elsewhere, set CLAUDE_CONFIG_DIR, CODEX_HOME, GPTME_LOGS_HOME or OPENCODE_DB,"
            " or give --home"
        )
    is_clean = not (read.denied or losses or broken or failed or unclaimed or caught.messages.rejected)
    return DONE if read.files and is_clean else FINDINGS


def sessions(settings: Settings, session: str | None, *, as_json: bool) -> int:
    """Show every session, or the calls of one and the chain by which its tokens are somebody's."""
    if session is not None:
        return _session(settings, session, as_json=as_json)
    from daemon.listings import Page, listing

    with Tables(settings.state.published) as tables:
        document = listing(tables, "sessions", Page())
    if as_json:
        show.document(document)
    else:
        show.table(_SESSION_COLUMNS, sorted(document["rows"], key=_by_time))
    return DONE


def _by_time(session: Mapping[str, Any]) -> tuple[str, bool, str, str]:
    """Return where a session stands for a person: by agent and time, those without one last."""
    began = session["first_call_at"]
    return session["agent"] or "", began is None, began or "", session["session_id"] or ""


def _session(settings: Settings, session: str, *, as_json: bool) -> int:
    with Tables(settings.state.published) as tables:
        document = session_document(tables, session)
    if as_json:
        show.document(document)
        return DONE
    show.table(_CALL_COLUMNS, document["rows"])
    _show_chain(document["chain"])
    return DONE


def session_document(tables: Tables, session: str) -> dict[str, Any]:
    """
    Return the document of `sessions ID --json`: the calls of a session, and whose its tokens are.

    Raises:
        NothingToExplain: There is no such session.
    """
    from daemon.belonging import chain
    from daemon.explain import NothingToExplain

    calls = tables.rows("SELECT * FROM usage_measured WHERE session_id = ? ORDER BY called_at, source_id", [session])
    if not (calls or tables.rows("SELECT 1 FROM sessions WHERE session_id = ?", [session])):
        raise NothingToExplain(session=session[:128])
    rows = [{name: plain(value) for name, value in row.items()} for row in calls]
    return {"schema": "tallystick.sessions/1", "rows": rows, "chain": chain(tables, session)}


def _show_chain(links: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name in ("parents", "children"):
        if links[name]:
            show.out(f"{name}: " + ", ".join(show.safe(str(row["session_id"])) for row in links[name]))
    for row in links["repos"]:
        place = f"repo {row['repo']} by {row['repo_rung']}" if row["repo"] else f"repo unattributed: {row['repo_gap']}"
        show.out(show.safe(f"{place}, in {row['cwd'] or '-'}: {row['calls']} calls, {row['total_tokens']:,} tokens"))
    for row in links["tasks"]:
        events = ", ".join(f"#{seq}" for seq in row["evidence_seqs"][:5])
        why = f"{_names(row)} by {row['rule']} ({row['confidence']}, {events})"
        show.out(show.safe(f"{why}: {row['calls']} calls, {row['total_tokens']:,} tokens"))
    rest = links["unallocated"][0]
    if rest["total_tokens"]:
        show.out(f"unallocated: {rest['total_tokens']:,} tokens")


_SESSION_COLUMNS: Final = (
    "agent",
    "session_id",
    "first_call_at",
    "last_call_at",
    "calls",
    "total_tokens",
    "output_tokens",
    "incomplete_calls",
    "is_metered",
)
_CALL_COLUMNS: Final = ("called_at", "source_id", "model", *SHOWN_TOKENS, "rule", "confidence", "value_seq")


def status(settings: Settings, *, as_json: bool) -> int:
    """Show per agent how new the evidence is; 1 when a place is unreadable or nothing was ever read."""
    daemon = living(settings)
    if daemon.is_running and not settings.state.published.exists():
        return _status_without_tables(daemon, as_json=as_json)
    with Tables(settings.state.published) as tables:
        document = status_document(settings, daemon, tables, datetime.now(UTC))
        unreadable = tables.rows(_UNREADABLE)
    log, lag = document["log"], document["projection_lag_events"]
    if as_json:
        show.document(document)
    else:
        show.table(_STATUS_COLUMNS, document["rows"])
        show.out(f"log head #{log['seq']} {(log['hash'] or '-')[:12]} at {log['at']}, projection lag {lag} events")
        show.out(_daemon_line(document["daemon"]))
        show.out(shown_run(document["reconciled"]))
    texts = [_told(finding) for finding in daemon.findings]
    if not daemon.is_running:
        texts += _told_by_tables(document, unreadable, lag)
    for text in texts:
        show.warn(text)
    _warn_of_losses(document["lost_events"])
    return FINDINGS if texts or document["lost_events"] else DONE


def status_document(settings: Settings, daemon: Living, tables: Tables, now: datetime) -> dict[str, Any]:
    """Return the document of `status --json`; ages are counted from *now*."""
    head = tables.head()
    log_id, chain = (head.mark.log_id, head.mark.chain) if head.mark is not None else (None, None)
    return {
        "schema": "tallystick.status/1",
        "log": {"log_id": log_id, "seq": head.seq, "at": plain(head.committed_at), "hash": chain},
        "projection_lag_events": lag_events(head, settings),
        "daemon": daemon.document(),
        "findings": [finding.document() for finding in daemon.findings],
        "reconciled": last_run(tables, now),
        "lost_events": tables.losses(),
        **tables.sources(),
        "rows": [{name: plain(value) for name, value in row.items()} for row in tables.freshness()],
    }


def _told(finding: Finding) -> str:
    return f"{finding.message}; next: {finding.next}"


def _told_by_tables(sources: Mapping[str, Any], unreadable: Iterable[Mapping[str, Any]], lag: int) -> Iterator[str]:
    """Say what a daemon would say if there were one."""
    if not sources["sources"]:
        yield "unknown: no source was ever read; `tallystick adapters list` says where logs are looked for"
    if sources["unreadable_paths"]:
        places = ", ".join(show.safe(row["source"]) for row in unreadable)
        count = sources["unreadable_paths"]
        yield f"{count} places cannot be read, nor counted; this user needs the right to {places}"
    if lag:
        yield f"{lag} committed events are not in the tables; run `tallystick ingest`"


#: Some of the places that cannot be read; all are in `high_water_marks`.
_UNREADABLE: Final = "SELECT source FROM high_water_marks WHERE state = 'unreadable' ORDER BY source LIMIT 5"


def young_status_document(daemon: Living) -> dict[str, Any]:
    """Return the same of a daemon that has not published yet."""
    shown = [finding.document() for finding in daemon.findings]
    return {"schema": "tallystick.status/1", "daemon": daemon.document(), "findings": shown, "rows": []}


def _status_without_tables(daemon: Living, *, as_json: bool) -> int:
    """Show a daemon that has not published yet: it is young, or something keeps it from it."""
    if as_json:
        show.document(young_status_document(daemon))
    else:
        show.out(_daemon_line(daemon.document()))
    for text in (
        *map(_told, daemon.findings),
        "there are no tables yet: the daemon publishes them after its first sweep",
    ):
        show.warn(text)
    return FINDINGS


def _daemon_line(daemon: Mapping[str, Any]) -> str:
    if daemon["state"] == "none":
        return "no daemon has run here; `tallystick ingest` reads once, `tallystick run` goes on"
    heard = f"daemon {daemon['state']}, heard {daemon['heartbeat_age_seconds']} s ago"
    return heard if daemon["state"] == "stopped" else f"{heard}, pid {daemon['pid']}"


_STATUS_COLUMNS: Final = (
    "agent",
    "state",
    "newest_source_event_at",
    "newest_ingest_at",
    "newest_seq",
    "backlog_bytes",
    "files",
    "gone_files",
    "unreadable_paths",
    "unmetered_files",
)


def show_explanation(settings: Settings, question: Any, *, as_json: bool) -> int:  # noqa: ANN401 - explain.Question, imported late
    """Show what a total is made of."""
    from daemon.explain import explain

    with Tables(settings.state.published) as tables:
        document = explain(tables, question)
    if as_json:
        show.document(document)
        return DONE
    for row in document["rows"]:
        show.out(
            f"{row['called_at'] or '-'}  {row['agent'] or '-'}  {row['source_id']}  {row['total_tokens']} tokens"
            f"  = {row['formula']}"
        )
        for each in row["evidence"]:
            place = f"{each['source']} {_where(each)}" if each["source"] else f"message {each['receipt']}"
            show.out(f"    {each['role']:8} #{each['seq']} {show.safe(place)}  {each['outcome']}")
        show.out(f"    {_cost(row)}")
        show.out(f"    {_owner(row)}")
        for each in row["superseded"]:
            show.out(f"    superseded #{each['seq']} ({each['reason']}, by #{each['by_seq']})")
    totals = document["totals"]
    show.out(f"{totals['calls']} calls, {totals['total_tokens']} tokens")
    if document["allocated_tokens"] is not None:
        show.out(f"of these, {document['allocated_tokens']} tokens belong to {show.safe(document['what'])}")
    return DONE


def _cost(row: Mapping[str, Any]) -> str:
    """Return in a line what a call cost and by which rates, or why that is not known."""
    rates = row["price"]
    by = f" by {rates['book']} {rates['book_version']}, #{rates['rates_seq']}" if rates else ""
    if row["unpriced"] is not None:
        return show.safe(f"no cost: {row['unpriced']}{by}")
    matched = "/".join(name for name in (rates["matched_provider"], rates["matched_model"]) if name)
    return show.safe(f"cost {show.dollars(row['cost_usd_micros'])} USD{by}: {matched}")


def _owner(row: Mapping[str, Any]) -> str:
    """Return in a line whose the tokens of a call are, by which evidence, and what is left."""
    place = f"repo {row['repo']} by {row['repo_rung']}" if row["repo"] else f"repo unattributed: {row['repo_gap']}"
    shares = [
        f"{_names(each)} {each['total_tokens']} by {each['rule']} ({each['confidence']}, "
        + ", ".join(f"#{seq}" for seq in each["evidence_seqs"])
        + ")"
        for each in row["allocations"]
    ]
    rest = [f"unallocated {row['unallocated_tokens']}"] if row["unallocated_tokens"] or not shares else []
    return show.safe("; ".join([place, *shares, *rest]))


def _names(share: Mapping[str, Any]) -> str:
    named = [("task", share["task_id"]), ("workstream", share["workstream_id"])]
    return " ".join(f"{kind} {name}" for kind, name in named if name is not None)


def _where(evidence: Mapping[str, Any]) -> str:
    """Return the byte range of a line or item, and the key of a row or item."""
    key, offset = evidence["item_key"], evidence["offset_bytes"]
    place = [f"bytes {offset}+{evidence['length_bytes']}"] if offset is not None else []
    return " ".join([*place, f"{'row' if offset is None else 'item'} {key}"] if key is not None else place)


def verify(settings: Settings, *, with_sources: bool, as_json: bool) -> int:
    """Check the log against its own hashes, the tables against the log, and, if asked, the sources against both."""
    from daemon.verification import verification

    document, is_sound = verification(settings, with_sources=with_sources)
    if as_json:
        show.document(document)
    else:
        for name, value in document.items():
            if name != "schema":
                show.out(f"{name:16} {json.dumps(value) if isinstance(value, dict | list) else value}")
    if not is_sound:
        show.warn("the log is not what was committed: restore log/ from its newest copy, then run `tallystick rebuild`")
        return LogBroken.exit_code
    return FINDINGS if document.get("sources", {}).get("changed") else DONE


def rebuild(settings: Settings, *, as_json: bool) -> int:
    """Make the tables anew from the log, and publish them."""
    from daemon.bootstrap import open_log, refresh_and_publish, utc_now
    from daemon.task_rules import record
    from projections.hashes import facts_hash, tables_hash

    if not settings.state.log_directory.is_dir():
        from projections.read import NothingPublished

        raise NothingPublished(path=settings.state.log_directory)
    with open_log(settings) as log:
        record(log, settings, utc_now)
        events = refresh_and_publish(settings, anew=True)
        head = log.head.seq
    with Tables(settings.state.published) as tables:
        losses = tables.losses()
        document: dict[str, Any] = {
            "schema": "tallystick.rebuild/1",
            "events": events,
            "head_seq": head,
            "tables_hash": tables_hash(tables.connection),
            "facts_hash": facts_hash(tables.connection),
            "lost_events": losses,
        }
    _warn_of_losses(losses)
    if as_json:
        show.document(document)
    else:
        show.out(f"{events} events, tables {document['tables_hash'][:16]}, facts {document['facts_hash'][:16]}")
    return FINDINGS if losses else DONE


def sql(settings: Settings, query: str, *, as_json: bool) -> int:
    """Run one query over the published tables, which nothing can change."""
    import duckdb

    with Tables(settings.state.published) as tables:
        try:
            rows = tables.rows(query) if len(duckdb.extract_statements(query)) == 1 else None
        except duckdb.Error as error:
            show.warn(f"the query failed: {show.first_line(str(error))}")
            return 2
    if rows is None:
        raise BadOption(option="QUERY", can_be="one statement")
    _show("tallystick.sql/1", rows, as_json=as_json, columns=tuple(rows[0]) if rows else ())
    return DONE


def _show(schema: str, rows: list[dict[str, Any]], *, as_json: bool, columns: Sequence[str]) -> None:
    shown = [{name: plain(value) for name, value in row.items()} for row in rows]
    if as_json:
        show.document({"schema": schema, "rows": shown})
    else:
        show.table(columns, shown)


def _warn_of_losses(losses: Iterable[Mapping[str, Any]]) -> None:
    """Say which events the log has lost; what their sources still held was read again."""
    for each in losses:
        show.warn(
            f"the log is damaged: #{each['first_missing_seq']} to #{each['last_missing_seq']} cannot be read any more. "
            "What the sources still hold was read again; for the rest restore the segment from a copy of log/ and run "
            "`tallystick rebuild`"
        )
