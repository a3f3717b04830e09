"""What operators ask of repositories: all of them, and why one has what it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from daemon import show
from daemon.owners import NoSuchOwner, plain_rows
from daemon.settings import Settings
from projections.read import Tables

DONE: Final = 0

_REPO_COLUMNS: Final = ("repo", "is_registered", "calls", "sessions", "total_tokens", "last_call_at", "aliases")

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


def repos_document(tables: Tables) -> dict[str, Any]:
    """Return the document of `repo list --json`."""
    repos = plain_rows(tables, "SELECT * FROM repos ORDER BY total_tokens DESC NULLS LAST, repo")
    gaps = plain_rows(
        tables,
        """
        SELECT
            repo_gap, CAST(sum(calls) AS BIGINT) AS calls, count(DISTINCT session_id) AS sessions,
            CAST(sum(total_tokens) AS BIGINT) AS total_tokens
        FROM unattributed GROUP BY repo_gap ORDER BY total_tokens DESC, repo_gap
        """,
    )
    return {"schema": "tallystick.repos/1", "rows": repos, "unattributed": gaps}


def list_repos(settings: Settings, *, as_json: bool) -> int:
    """Show every repository, and what belongs to none."""
    with Tables(settings.state.published) as tables:
        document = repos_document(tables)
    if as_json:
        show.document(document)
        return DONE
    show.table(_REPO_COLUMNS, [row | {"aliases": ", ".join(row["aliases"]) or None} for row in document["rows"]])
    for row in document["unattributed"]:
        show.out(f"unattributed, {row['repo_gap']}: {row['calls']} calls, {row['total_tokens']:,} tokens")
        show.out(f"    {NEXT_STEPS[row['repo_gap']]}")
    return DONE


def repo_document(tables: Tables, what: str) -> dict[str, Any]:
    """
    Return the document of `repo explain WHAT --json`: *what* is a repository, one of its names, or a directory.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    names = tables.rows("SELECT repo FROM repo_names WHERE name = ?", [what])
    asked = {"repo": names[0]["repo"] if names else what, "what": what}
    repos = plain_rows(tables, "SELECT * FROM repos WHERE repo = ?", [asked["repo"]])
    places = plain_rows(
        tables,
        "SELECT * FROM places WHERE repo = $repo OR cwd = rtrim($what, '/') ORDER BY cwd, git_remote, checkout_seq",
        asked,
    )
    registered = plain_rows(
        tables,
        """
        SELECT r.* FROM repo_registrations AS r INNER JOIN repo_names AS n ON r.repo = n.name
        WHERE n.repo = $repo OR n.name = $what ORDER BY r.seq
        """,
        asked,
    )
    if not (repos or places or registered):
        raise NoSuchOwner(name=what[:128])
    shown = {"repos": repos, "registrations": registered, "places": places}
    return {"schema": "tallystick.repo/1", "what": what} | shown


def explain_repo(settings: Settings, what: str, *, as_json: bool) -> int:
    """
    Show why a repository has what it has, or to which one a directory belongs and why.

    Raises:
        NoSuchOwner: Nothing has this name.
    """
    if Path(what).is_dir():
        what = str(Path(what).absolute())
    with Tables(settings.state.published) as tables:
        document = repo_document(tables, what)
    if as_json:
        show.document(document)
        return DONE
    for row in document["repos"]:
        show.out(show.safe(f"{row['repo']}: {row['calls']} calls, {row['total_tokens'] or 0:,} tokens"))
        for name in ("root_commits", "remotes", "paths", "aliases", "top_paths"):
            if row[name]:
                show.out(show.safe(f"    {name}: {', '.join(row[name])}"))
    for row in document["registrations"]:
        facts = ", ".join(each for name in ("root_commits", "remotes", "paths", "aliases") for each in row[name])
        show.out(show.safe(f"registered #{row['seq']} as {row['repo']}: {facts}"))
    for row in document["places"]:
        show.out(show.safe(_place(row)))
    return DONE


def _place(row: Mapping[str, Any]) -> str:
    seen = f", seen #{row['checkout_seq']}" if row["checkout_seq"] is not None else ""
    where = f"{row['cwd'] or '-'} (remote {row['remote'] or '-'}{seen})"
    if row["repo"] is not None:
        return f"{where} belongs to {row['repo']} by {row['repo_rung']}"
    claimed = f" (claimed by {', '.join(row['candidates'])})" if row["candidates"] else ""
    return f"{where} belongs to none: {row['repo_gap']}{claimed}; {NEXT_STEPS[row['repo_gap']]}"
