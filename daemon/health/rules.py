"""
Every rule by which health is judged: how bad it is, what it means, and what an operator does.

`docs/operating.md` shows this list, and a test holds it to it.
"""

from typing import Final, Literal, NamedTuple

Rule = Literal[
    "heartbeat_missing",
    "heartbeat_stale",
    "daemon_stopped",
    "daemon_starting",
    "unit_inactive",
    "worker_dead",
    "disk_full",
    "disk_low",
    "log_damaged",
    "backlog_old",
    "mark_frozen",
    "projection_lag",
    "unreadable_path",
    "nothing_to_read",
    "watch_degraded",
    "inbox_blocked",
    "message_rejected",
    "checkouts_failed",
    "plugin_failed",
    "clock_skew",
    "health_silent",
    "timer_disabled",
    "reconcile_silent",
    "invariants_silent",
    "drift",
    "flatline",
    "sentinel_lost",
    "hook_missing",
    "hook_stopped",
    "name_contract",
    "retention_race",
    "judge_failed",
]


class Meaning(NamedTuple):
    """How bad a rule's finding is, what it means, and what to do, in a sentence each."""

    severity: Literal["warning", "unknown", "critical"]
    means: str
    do: str


RULES: Final[dict[Rule, Meaning]] = {
    "heartbeat_missing": Meaning(
        "unknown",
        "there is no heartbeat that can be used: no daemon ever ran here, or its file is gone or damaged",
        "install the service, or run the daemon",
    ),
    "heartbeat_stale": Meaning(
        "critical", "the daemon should be heard and is not: it died, hangs or is stopped", "restart it"
    ),
    "daemon_stopped": Meaning("critical", "the daemon was stopped and nobody has started it again", "start it"),
    "daemon_starting": Meaning(
        "unknown", "the first sweep is under way: what it has not reached is not counted yet", "wait for it to end"
    ),
    "unit_inactive": Meaning(
        "critical", "the service is enabled and does not run, as far as the daemon's last words tell", "start it"
    ),
    "worker_dead": Meaning("critical", "a thread of the daemon ended or hangs", "restart the daemon"),
    "disk_full": Meaning(
        "critical", "nothing is read until there is room; the sources keep what is unread", "free some space"
    ),
    "disk_low": Meaning("warning", "the disk of the state directory is nearly full", "free some space"),
    "log_damaged": Meaning(
        "critical", "bytes of the log are not what was committed", "`tallystick verify` says which; keep a copy"
    ),
    "backlog_old": Meaning(
        "critical", "bytes of an agent's logs have been unread for longer than the reporting window", "see why"
    ),
    "mark_frozen": Meaning(
        "critical", "a file grows and its high-water mark does not move", "look at the file that is named"
    ),
    "projection_lag": Meaning(
        "critical", "the tables do not follow the log, so reports show old numbers", "restart, or rebuild the tables"
    ),
    "unreadable_path": Meaning("warning", "places among an agent's logs cannot be read", "let this user read them"),
    "nothing_to_read": Meaning(
        "unknown", "no log file of any agent is there: zero tokens would be no measurement", "name the right home"
    ),
    "watch_degraded": Meaning(
        "warning", "changes may go unheard; everything is swept more often instead", "raise what is exhausted"
    ),
    "inbox_blocked": Meaning("critical", "nothing is taken from the inbox", "make it a directory of this user alone"),
    "message_rejected": Meaning(
        "warning", "messages of hooks, tasks or operators could not be taken", "see which, and send them again"
    ),
    "checkouts_failed": Meaning(
        "warning", "a checkout cannot be read, so tokens may have no repository", "see the daemon's log"
    ),
    "plugin_failed": Meaning("warning", "an adapter of somebody else raised", "correct or uninstall it"),
    "clock_skew": Meaning(
        "warning", "the wall clock jumped, or times of the daemon lie in the future", "set the clock right"
    ),
    "health_silent": Meaning(
        "warning", "nobody has asked for health for longer than two windows", "enable the health timer"
    ),
    "timer_disabled": Meaning("warning", "the timer that asks for health, or the daily one, is disabled", "enable it"),
    "reconcile_silent": Meaning(
        "warning",
        "the daily reconcile has not run for two days",
        "enable its timer; after an upgrade install the service again, as its unit says `--scheduled` now",
    ),
    "invariants_silent": Meaning(
        "warning", "nobody has asked for the invariants for two days", "see who no longer calls `tallystick invariants`"
    ),
    "drift": Meaning(
        "critical",
        "logs of a version of an agent grow and say less usage than they did, or none: its format changed",
        "see the files that are named; a newer adapter is needed",
    ),
    "flatline": Meaning(
        "critical", "an agent works (tasks, commits, growing files) and no token is measured", "see where it logs"
    ),
    "sentinel_lost": Meaning(
        "critical", "a planted session did not reach the published tables within the window", "restart the daemon"
    ),
    "hook_missing": Meaning("warning", "an expected hook is not in the agent's settings", "install it"),
    "hook_stopped": Meaning(
        "warning",
        "a hook that should run is silent while its agent works",
        "see its settings; Codex has to trust it",
    ),
    "name_contract": Meaning(
        "warning",
        "a place that a variable or the configuration names is not there, or a log that a harness expected by its name",
        "correct the name where it is given, or where it is not obeyed",
    ),
    "retention_race": Meaning(
        "warning", "an agent's own clean-up deletes logs sooner than they are read", "read them, or raise its limit"
    ),
    "judge_failed": Meaning(
        "warning", "one of the judgements could not be made; what it would have found is not known", "see the log"
    ),
}
