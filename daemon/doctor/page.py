"""The page for people: what is wrong first, each with what to type; then where everything is and how it stands."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from daemon import show
from daemon.doctor.facts import facts
from daemon.health.report import EXIT_CODES
from daemon.settings import Settings

DONE, FINDINGS = 0, 1

#: Tables of the page, by their name among the facts: title and columns. One without rows is left out.
_TABLES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "sources": (
        "what was read",
        (
            "agent",
            "state",
            "files",
            "backlog_bytes",
            "unreadable_paths",
            "unmetered_files",
            "newest_source_event_at",
            "newest_ingest_at",
        ),
    ),
    "versions": (
        "versions of agents, and the part of their answers that states usage",
        ("agent", "agent_version", "state", "lines", "recognised_lines", "usage_statements", "turns_without_usage",
         "metered_share", "floor_share"),
    ),
    "clean_up": (
        "how long unread logs still live: agents delete their own",
        ("agent", "cleanup_days", "oldest_unread_at", "days_left"),
    ),
    "hooks": (
        "hooks that ran",
        ("hook", "last_ran_at", "last_event", "last_effect", "last_skip", "last_source_id", "runs", "failed"),
    ),
    "flatlines": (
        "days with signs of work and no measured token",
        ("day", "agent", "tasks", "activities", "commits", "silent_tallies"),
    ),
}  # fmt: skip


def doctor(settings: Settings, *, as_json: bool) -> int:
    """Show the page, or the same as one document; 1 when something is wrong."""
    found = facts(settings, os.environ)
    if as_json:
        show.document(found)
    else:
        for line in page(found):
            show.out(show.safe(line))
        _tables(found)
    return FINDINGS if EXIT_CODES[found["health"]["state"]] else DONE


def page(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines above the tables."""
    yield f"tallystick {found['version']}: {found['health']['state'].upper()}"
    yield from _findings(found["health"]["findings"])
    yield ""
    yield from _integrity(found["integrity"], found["integrity_problem"])
    yield from _daemon(found["daemon"])
    yield from _service(found["service"], is_running=found["daemon"]["state"] in ("starting", "running", "paused"))
    yield from _places(found["places"], found["variables"])
    yield from _runs(found["health"]["last_runs"])
    yield ""
    yield from _roots(found["roots"], found["roots_problem"])
    yield ""
    yield from _hooks(found["hooks"])


def _findings(findings: list[dict[str, Any]]) -> Iterator[str]:
    if not findings:
        yield "  nothing is wrong"
    for each in findings:
        about = f" ({each['source']})" if each["source"] else ""
        since = f", since {each['since']}" if each["since"] else ""
        yield f"  {each['severity']:<8}  {each['rule']}{about}: {each['message']}{since}"
        yield f"  {'':<8}  $ {each['next']}"


def _integrity(said: Mapping[str, Any] | None, problem: str | None) -> Iterator[str]:
    """Yield how many findings of claims and measurements alarm; what they are, `tallystick findings` tells."""
    if said is None:
        yield f"findings       cannot be told: {problem}"
    elif said["alarming"]:
        rules = ", ".join(f"{rule} {count}" for rule, count in said["rules"].items())
        yield f"findings       {said['alarming']} alarm ({rules}), {said['acknowledged']} known"
        yield "               $ tallystick findings"
    else:
        yield f"findings       none alarms, {said['acknowledged']} known"


def _daemon(said: Mapping[str, Any]) -> Iterator[str]:
    age = said["heartbeat_age_seconds"]
    heard = "never heard" if age is None else f"pid {said['pid']}, heard {age} s ago"
    yield f"daemon         {said['state']}, {heard}"


def _service(service: Mapping[str, Any], *, is_running: bool) -> Iterator[str]:
    """Yield how this user's own service stands; what is missing is no more than a remark while a daemon runs."""
    stands = "installed" if service["is_installed"] else "not installed"
    if service["state"] is not None:
        stands = f"{service['state']}, {'enabled' if service['is_enabled'] else 'not enabled'}"
    yield f"service        {service['unit']}: {stands}"
    for each in service["findings"]:
        if service["is_installed"] or not is_running:
            yield f"               {each['message']}"
            if each["next"] is not None:
                yield f"               $ {each['next']}"


def _places(places: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    yield f"home           {places['home']}"
    yield f"state          {places['state_directory']}"
    missing = "" if places["has_configuration"] else " (not there: defaults hold)"
    yield f"configuration  {places['configuration']}{missing}"
    for name, value in variables.items():
        yield f"variable       {name}={value} (of this shell; a service has its own)"


def _runs(runs: Mapping[str, Any]) -> Iterator[str]:
    for name, run in runs.items():
        when = "never" if run is None else "{at}, {age_seconds} s ago".format_map(run)
        yield f"{'last ' + name:<14} {when}"


def _roots(roots: list[dict[str, Any]], problem: str | None) -> Iterator[str]:
    yield "places that are read" if problem is None else f"what is read cannot be told: {problem}"
    for each in roots:
        yield f"  {each['agent']:<12}  {each['path']}{'' if each['exists'] else ' (not there)'}"


def _hooks(hooks: list[dict[str, Any]]) -> Iterator[str]:
    yield "hooks in agents' settings"
    for each in hooks:
        yield f"  {each['hook']:<12}  {each['state'].replace('_', ' ')}: {each['path']}"


def _tables(found: Mapping[str, Any]) -> None:
    tables = found["tables"]
    if tables is None:
        show.out("")
        show.out(show.safe(f"no tables: {found['tables_problem']}"))
        return
    for name, (title, columns) in _TABLES.items():
        if tables[name]:
            show.out("")
            show.out(title)
            show.table(columns, tables[name])
