"""What keeps evidence from arriving: unread bytes, places that cannot be read, a deaf watch, a blocked inbox."""

from collections.abc import Iterator
from typing import Final

from daemon.health.case import Case
from daemon.health.finding import Finding

#: A watch that is blind, and a look at a checkout, have so long, in seconds, or the window where that is shorter.
_LATE_SECONDS: Final = 60
#: A sweep over all roots ends at least so often, in seconds, whatever the window.
_SWEEP_SECONDS: Final = 900

#: What the kernel's own figure of a limit is called.
_LIMITS: Final = {
    "watch_limit": "/proc/sys/fs/inotify/max_user_watches",
    "no_inotify": "/proc/sys/fs/inotify/max_user_instances",
    "overflow": "/proc/sys/fs/inotify/max_queued_events",
}


def backlog_old(case: Case) -> Iterator[Finding]:
    """Bytes of an agent have been unread for longer than a window, or no sweep ends any more."""
    for agent in case.said.names("sources"):
        age = case.said.number("sources", agent, "backlog_age_seconds")
        if age is not None and age > case.window_seconds:
            path = case.said.path("sources", agent, "backlog_path") or "?"
            message = f"bytes of {agent} have been unread for {age:.0f} s, in {path} for one"
            yield case.found("backlog_old", message, case.steps.show(path), source=agent, held_seconds=age)
    age = case.said.number("sweep", "age_seconds")
    if age is not None and age > max(case.window_seconds, _SWEEP_SECONDS):
        message = f"no sweep over all roots has ended for {age:.0f} s: what nobody told of is not read"
        yield case.found("backlog_old", message, case.steps.log(), source="sweep", held_seconds=age)


def mark_frozen(case: Case) -> Iterator[Finding]:
    """A file has grown for longer than a window, and nothing of it was read."""
    for agent in case.said.names("sources"):
        age = case.said.number("sources", agent, "frozen_seconds")
        if age is not None and age > case.window_seconds:
            path = case.said.path("sources", agent, "frozen_path") or "?"
            message = f"{path} has grown for {age:.0f} s and its mark stands: no complete line was written"
            then = case.steps.ask("adapters", "check", path)
            yield case.found("mark_frozen", message, then, source=agent, held_seconds=age)


def unreadable_path(case: Case) -> Iterator[Finding]:
    """The last sweep could not read places."""
    for agent in case.said.names("sources"):
        places = case.said.number("sources", agent, "unreadable") or 0
        if places:
            path = case.said.path("sources", agent, "unreadable_path") or "?"
            then = case.steps.let_read(path, is_own=path in case.looked.own_paths)
            message = f"{places:.0f} places of {agent} cannot be read, {path} for one: what they hold is not counted"
            yield case.found("unreadable_path", message, then, source=agent)


def nothing_to_read(case: Case) -> Iterator[Finding]:
    """No log file of any agent is there."""
    if case.said.number("sweep", "files") == 0:
        there, missing = (case.said.number("sweep", name) or 0 for name in ("roots", "roots_missing"))
        message = f"no log file of any agent is there: of {there + missing:.0f} places {there:.0f} exist"
        yield case.found("nothing_to_read", message, case.steps.ask("adapters", "list"))


def watch_degraded(case: Case) -> Iterator[Finding]:
    """Changes go unheard, and not only until the next sweep."""
    blindness = case.said.words("watch", "blindness")
    age = case.said.number("watch", "blind_seconds")
    if blindness and age is not None and age > min(_LATE_SECONDS, case.window_seconds):
        limit = next((_LIMITS[reason] for reason in blindness if reason in _LIMITS), None)
        then = f"cat {limit}" if limit is not None else case.steps.ask("adapters", "list")
        message = f"changes may go unheard ({', '.join(blindness)}): everything is swept more often instead"
        yield case.found("watch_degraded", message, then, held_seconds=age)


def inbox_blocked(case: Case) -> Iterator[Finding]:
    """Nothing is taken from the inbox."""
    failure = case.said.word("inbox", "failure")
    if failure is not None:
        inbox = f"{case.steps.state_directory}/inbox"
        then = case.steps.close_to_others(inbox) if failure == "writable_by_others" else case.steps.show(inbox)
        yield case.found("inbox_blocked", f"nothing is taken from the inbox ({failure})", then)


def message_rejected(case: Case) -> Iterator[Finding]:
    """Messages were none."""
    count = case.looked.rejected_messages
    if count is None:
        message = "rejected messages of the inbox cannot be looked at"
        yield case.found("message_rejected", message, case.steps.show(f"{case.steps.state_directory}/inbox/rejected"))
    elif count:
        message = f"{count} messages could not be taken; they are kept until somebody removes them"
        yield case.found("message_rejected", message, case.steps.ask("inbox", "list"))


def checkouts_failed(case: Case) -> Iterator[Finding]:
    """A checkout cannot be read, or does not answer."""
    failure, busy = case.said.word("checkouts", "failure"), case.said.number("checkouts", "busy_seconds")
    then = case.steps.ask("repo", "list")
    if busy is not None and busy > _LATE_SECONDS:
        message = f"a checkout has not answered for {busy:.0f} s; the others wait for it"
        yield case.found("checkouts_failed", message, then, held_seconds=busy)
    elif failure is not None:
        yield case.found("checkouts_failed", f"a checkout could not be read ({failure})", then)


def plugin_failed(case: Case) -> Iterator[Finding]:
    """An adapter of somebody else raised, or is none."""
    for name in case.said.words("plugins", "failures"):
        message = f"plug-in {name} failed: what it reads is rejected or not seen"
        yield case.found("plugin_failed", message, case.steps.ask("adapters", "list"), source=name)
