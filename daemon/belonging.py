"""Whose tokens calls are, and by which evidence: the repository and the tasks behind rows of measured usage."""

from collections.abc import Iterable
from typing import Any, Final

from projections.read import Tables, plain
from projections.usage import MONEY, TOKENS

#: A row is asked for by the event that gives it its value; the bounds say the same, and spare reading all the others.
_WANTED: Final = "value_seq IN (SELECT unnest($wanted)) AND value_seq BETWEEN list_min($wanted) AND list_max($wanted)"

_REPOS: Final = f"""
    SELECT value_seq, repo, repo_rung, repo_confidence, repo_gap, cwd, git_remote, checkout_seq
    FROM usage_attributed
    WHERE {_WANTED}
"""  # noqa: S608 - constants

_SHARES: Final = f"""
    SELECT
        value_seq, task_id, workstream_id, rule, rule_version, confidence, evidence_seqs, weight, whole,
        {", ".join((*TOKENS, *MONEY))}
    FROM usage_allocated
    WHERE {_WANTED}
    ORDER BY value_seq, task_id, workstream_id
"""  # noqa: S608 - names from constants


def belonging(tables: Tables, calls: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """
    Return per call, by its ``value_seq``, its repository with rung or gap, its shares by task, and what is left.

    ``unallocated_tokens`` is what belongs to no task; ``evidence_seqs`` are the events that a rule rests on.
    """
    totals = {call["value_seq"]: call["total_tokens"] for call in calls}
    wanted = {"wanted": sorted(totals)}
    found: dict[int, dict[str, Any]] = {}
    for row in tables.rows(_REPOS, wanted):
        place = {name: plain(value) for name, value in row.items() if name != "value_seq"}
        found[row["value_seq"]] = place | {"allocations": [], "unallocated_tokens": totals[row["value_seq"]]}
    for row in tables.rows(_SHARES, wanted):
        owner = found[row["value_seq"]]
        owner["allocations"].append({name: plain(value) for name, value in row.items() if name != "value_seq"})
        owner["unallocated_tokens"] -= row["total_tokens"]
    return found


#: One session's way: who started it, whom it started, in which repositories it worked and on which tasks.
_CHAIN: Final[dict[str, str]] = {
    "parents": """
        SELECT DISTINCT parent_session_id AS session_id FROM usage_measured
        WHERE session_id = $session AND parent_session_id IS NOT NULL ORDER BY ALL
    """,
    "children": """
        SELECT DISTINCT session_id FROM usage_measured
        WHERE parent_session_id = $session AND session_id IS DISTINCT FROM $session ORDER BY ALL
    """,
    "repos": """
        SELECT
            repo, repo_rung, repo_confidence, repo_gap, cwd, git_remote, git_branch, checkout_seq,
            count(*) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens
        FROM usage_attributed
        WHERE session_id = $session
        GROUP BY ALL ORDER BY min(called_at), repo, cwd, git_remote, git_branch
    """,
    "tasks": """
        SELECT
            task_id, workstream_id, rule, rule_version, confidence,
            count(*) AS calls, CAST(sum(total_tokens) AS BIGINT) AS total_tokens,
            list_sort(list_distinct(flatten(list(evidence_seqs)))) AS evidence_seqs
        FROM usage_allocated
        WHERE session_id = $session
        GROUP BY task_id, workstream_id, rule, rule_version, confidence ORDER BY min(called_at), task_id, workstream_id
    """,
    "unallocated": """
        SELECT CAST(sum(calls) AS BIGINT) AS calls, CAST(coalesce(sum(total_tokens), 0) AS BIGINT) AS total_tokens
        FROM usage_unallocated
        WHERE session_id = $session
    """,
}


def chain(tables: Tables, session: str) -> dict[str, list[dict[str, Any]]]:
    """Return how one session's tokens came to where they are counted: its parents, children, repositories and tasks."""
    found = {name: tables.rows(query, {"session": session}) for name, query in _CHAIN.items()}
    return {
        name: [{column: plain(value) for column, value in row.items()} for row in rows] for name, rows in found.items()
    }
