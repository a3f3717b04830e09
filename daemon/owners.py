"""What operators ask of repositories and tasks: lists, one in full, and what a declaration would change."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from daemon import show
from daemon.settings import Settings
from projections.read import Tables, plain
from state.errors import TallystickError

DONE: Final = 0

_REPO_COLUMNS: Final = ("repo", "is_registered", "calls", "sessions", "total_tokens", "last_call_at", "aliases")
_TASK_COLUMNS: Final = (
    "task_id",
    "workstream_id",
    "status",
    "calls",
    "allocated_tokens",
    "estimated_tokens",
    "last_call_at",
    "rules",
)

#: Why a call belongs to no repository, and what to do about it.
NEXT_STEPS: Final[Mapping[str, str]] = {
    "no_directory": "the agent stated neither directory nor remote: nothing can be known of it",
    "not_seen": "register the path with `tallystick repo register --name NAME --path DIRECTORY`",
    "no_checkout": "register the path with `tallystick repo register --name NAME --path DIRECTORY`",
    "no_remote": "register the checkout with `tallystick repo register --name NAME DIRECTORY`",
    "several_remotes": "register the checkout with `tallystick repo register --name NAME DIRECTORY`",
    "several_repos": "say which is the same with `tallystick repo alias NAME OTHER`, or withdraw one",
    "roots_disagree": "register this history too with `tallystick repo register --name NAME DIRECTORY`",
}


class NoSuchOwner(TallystickError):
    """
    No repository, task or directory has this name. `tallystick repo list` and `tallystick task list` say what there is.
    """

    exit_code = 1


def list_repos(settings: Settings, *, as_json: bool) -> int:
    """Show every repository, and what belongs to none."""
    with Tables(settings.state.published) as tables:
        repos = _plain(tables, "SELECT * FROM repos ORDER BY total_tokens DESC NULLS LAST, repo")
        gaps = _plain(
            tables,
            """
            SELECT
                repo_gap, CAST(sum(calls) AS BIGINT) AS calls, count(DISTINCT session_id) AS sessions,
                CAST(sum(total_tokens) AS BIGINT) AS total_tokens
            FROM unattributed GROUP BY repo_gap ORDER BY total_tokens DESC, repo_gap
            """,
        )
    if as_json:
        show.document({"schema": "tallystick.repos/1", "rows": repos, "unattributed": gaps})
        return DONE
    show.table(_REPO_COLUMNS, [row | {"aliases": ", ".join(row["aliases"]) or None} for row in repos])
    for row in gaps:
        show.out(f"unattributed, {row['repo_gap']}: {row['calls']} calls, {row['total_tokens']:,} tokens")
        show.out(f"    {NEXT_STEPS[row['repo_gap']]}")
    return DONE


def explain_repo(settings: Settings, what: str, *, as_json: bool) -> int:
    """
    Show why a repository has what it has, or to which one a directory belongs and why.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    if Path(what).is_dir():
        what = str(Path(what).absolute())
    with Tables(settings.state.published) as tables:
        names = tables.rows("SELECT repo FROM repo_names WHERE name = ?", [what])
        repo = names[0]["repo"] if names else what
        repos = _plain(tables, "SELECT * FROM repos WHERE repo = ?", [repo])
        places = _plain(
            tables,
            "SELECT * FROM places WHERE repo = $repo OR cwd = rtrim($what, '/') ORDER BY cwd, git_remote, checkout_seq",
            {"repo": repo, "what": what},
        )
        registered = _plain(
            tables,
            """
            SELECT r.* FROM repo_registrations AS r INNER JOIN repo_names AS n ON r.repo = n.name
            WHERE n.repo = $repo OR n.name = $what ORDER BY r.seq
            """,
            {"repo": repo, "what": what},
        )
    if not (repos or places or registered):
        raise NoSuchOwner(name=what[:128])
    if as_json:
        document = {"repos": repos, "registrations": registered, "places": places}
        show.document({"schema": "tallystick.repo/1", "what": what} | document)
        return DONE
    for row in repos:
        show.out(show.safe(f"{row['repo']}: {row['calls']} calls, {row['total_tokens'] or 0:,} tokens"))
        for name in ("root_commits", "remotes", "paths", "aliases", "top_paths"):
            if row[name]:
                show.out(show.safe(f"    {name}: {', '.join(row[name])}"))
    for row in registered:
        facts = ", ".join(each for name in ("root_commits", "remotes", "paths", "aliases") for each in row[name])
        show.out(show.safe(f"registered #{row['seq']} as {row['repo']}: {facts}"))
    for row in places:
        show.out(show.safe(_place(row)))
    return DONE


def _place(row: Mapping[str, Any]) -> str:
    seen = f", seen #{row['checkout_seq']}" if row["checkout_seq"] is not None else ""
    where = f"{row['cwd'] or '-'} (remote {row['remote'] or '-'}{seen})"
    if row["repo"] is not None:
        return f"{where} belongs to {row['repo']} by {row['repo_rung']}"
    claimed = f" (claimed by {', '.join(row['candidates'])})" if row["candidates"] else ""
    return f"{where} belongs to none: {row['repo_gap']}{claimed}; {NEXT_STEPS[row['repo_gap']]}"


def list_tasks(settings: Settings, *, as_json: bool) -> int:
    """Show every task with what was measured and what was only estimated for it."""
    with Tables(settings.state.published) as tables:
        tasks = _plain(tables, "SELECT * FROM tasks ORDER BY last_call_at DESC NULLS LAST, task_id")
    if as_json:
        show.document({"schema": "tallystick.tasks/1", "rows": tasks})
    else:
        show.table(_TASK_COLUMNS, [row | {"rules": ", ".join(row["rules"]) or None} for row in tasks])
    return DONE


def show_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """
    Show one task: what was reported of it, and the shares of calls that are its, with rule and evidence.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    with Tables(settings.state.published) as tables:
        tasks = _plain(tables, "SELECT * FROM tasks WHERE task_id = ?", [task])
        reports = _plain(tables, "SELECT * FROM task_reports WHERE task_id = ? ORDER BY stated_at, seq", [task])
        shares = _plain(
            tables, "SELECT * FROM usage_allocated WHERE task_id = ? ORDER BY called_at, agent, source_id", [task]
        )
        guesses = _plain(tables, "SELECT * FROM estimates WHERE task_id = ? ORDER BY called_at, seq", [task])
    if not tasks:
        raise NoSuchOwner(name=task[:128])
    if as_json:
        document = {"rows": tasks, "reports": reports, "allocations": shares, "estimates": guesses}
        show.document({"schema": "tallystick.task/1"} | document)
        return DONE
    show.table(_TASK_COLUMNS, [row | {"rules": ", ".join(row["rules"]) or None} for row in tasks])
    for row in reports:
        who = f"{row['producer']} ({row['origin'] or 'no origin'})"
        show.out(show.safe(f"reported {row['status']} at {row['stated_at'] or '-'} by {who}, #{row['seq']}"))
    show.table(("called_at", "agent", "source_id", "session_id", "total_tokens", "rule", "confidence"), shares)
    for row in guesses:
        fate = "counts as estimated" if row["measured_seq"] is None else f"superseded by #{row['measured_seq']}"
        show.out(f"estimate #{row['seq']} ({row['source_class']}): {fate}")
    return DONE


_ALLOCATED: Final = """
    SELECT task_id, workstream_id, rule, count(*) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens
    FROM usage_allocated GROUP BY ALL
    UNION ALL BY NAME
    SELECT CAST(sum(calls) AS BIGINT) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens FROM usage_unallocated
    ORDER BY task_id, workstream_id, rule
"""


def what_would_change(settings: Settings, event: bytes) -> list[dict[str, Any]]:
    """
    Return what the tables would say if *event*, as the log would hold it, were in them; nothing is written.

    A row per task, workstream and rule whose tokens would be others, with ``total_tokens`` before and after; all three
    are null for what belongs to none.

    Raises:
        NothingPublished: There are no tables to try it on.
    """
    with Tables(settings.state.published) as tables:
        before = tables.rows(_ALLOCATED)
    with TemporaryDirectory(dir=settings.state.temporary) as directory:
        copy = Path(directory) / "what-if.duckdb"
        shutil.copyfile(settings.state.published, copy)
        with duckdb.connect(str(copy)) as connection:
            connection.execute(_ADDED, _columns(event))
            cursor = connection.execute(_ALLOCATED)
            names = [column[0] for column in cursor.description or ()]
            after = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return _differences(before, after)


_ADDED: Final = """
    INSERT INTO events BY NAME
    SELECT
        (SELECT log_id FROM projection) AS log_id,
        (SELECT coalesce(max(seq), -1) + 1 FROM events) AS seq,
        $kind AS kind, $producer AS producer, $key AS message_key, CAST($revision AS BIGINT) AS revision,
        $receipt AS receipt, $content_hash AS content_hash, CAST($body AS JSON) AS body
"""


def _columns(event: bytes) -> dict[str, Any]:
    stated = json.loads(event)
    names = ("producer", "key", "revision", "receipt", "content_hash")
    return {"kind": stated["k"], "body": json.dumps(stated["body"])} | {name: stated.get(name) for name in names}


_OWNER: Final = ("task_id", "workstream_id", "rule")
_COUNTED: Final = ("calls", "total_tokens")


def _differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the owners had before and after, of those that have something else now."""
    old, new = _by_owner(before), _by_owner(after)
    nothing = (0,) * len(_COUNTED)
    return [
        dict(zip(_OWNER, owner, strict=True))
        | {f"{name}_before": count for name, count in zip(_COUNTED, old.get(owner, nothing), strict=True)}
        | {f"{name}_after": count for name, count in zip(_COUNTED, new.get(owner, nothing), strict=True)}
        for owner in sorted({*old, *new}, key=str)
        if old.get(owner, nothing) != new.get(owner, nothing)
    ]


def _by_owner(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {tuple(row[name] for name in _OWNER): tuple(row[name] or 0 for name in _COUNTED) for row in rows}


def _plain(tables: Tables, query: str, parameters: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - by place or by name
    return [{name: plain(value) for name, value in row.items()} for row in tables.rows(query, parameters)]
