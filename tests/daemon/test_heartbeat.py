"""What `health.json` holds, and that its documentation says so."""

import json
import stat
from datetime import UTC, datetime
from typing import Any

from daemon import heartbeat
from daemon.behind import Unread
from daemon.checkout_reader import Looking
from daemon.heartbeat import FIELDS, Signs
from daemon.ingest import Pass
from daemon.projector import Projected
from daemon.service.standing import Standing
from daemon.workers import Worker
from state.head import Mark
from tests.daemon.conftest import Host

SIGNS = Signs(
    state="running",
    started_at=0.0,
    head=Mark("log", 41, "0" * 64, 0, 100),
    tables=Projected(seq=40, published_seq=30, published_at=1.0),
    is_projector_alive=True,
    blindness=("watch_limit", "missed"),
    last_sweep=Pass(files=7),
    swept_at=1.0,
    behind={
        "codex:/srv/a.jsonl": Unread(0, 5, since=1.0),
        "codex:/srv/b.jsonl": Unread(4, 10, since=3.0, grown_at=9.0, is_waiting=True),
        "gptme_new:/srv/c": Unread(9, 10, since=2.0, is_waiting=True),
    },
    agents={"codex": "codex", "gptme_new": "gptme", "gptme": "gptme"},
    inbox_failure=None,
    checkouts=Looking(waiting=3),
    workers={"projector": Worker(is_alive=True, beat_at=1.0), "watch": Worker(is_alive=None)},
    service=Standing("user", "tallystick.service", is_enabled=True, is_timer_enabled=False),
)
#: Below these every name is one of many.
VARIABLE = {"sources.": "AGENT", "workers.": "NAME"}
AT = datetime(2026, 11, 1, 10, tzinfo=UTC)


def fields(document: dict[str, Any], path: str = "") -> set[str]:
    """Name every field of *document*, nested ones with dots, an agent's name as AGENT, a thread's as NAME."""
    found: set[str] = set()
    for name, value in document.items():
        shown = f"{path}{VARIABLE.get(path, name)}"
        found |= fields(value, f"{shown}.") if isinstance(value, dict) else {shown}
    return found


def test_every_field_is_documented_and_every_documented_field_is_there() -> None:
    """
    `docs/daemon.md` lists exactly what is written.
    """
    assert set(FIELDS) | {"schema"} == fields(heartbeat.document(SIGNS, AT))


def test_backlog_and_lag_are_sums_of_what_is_behind() -> None:
    """
    Backlog is added up per agent, lag is what the tables do not hold yet.
    """
    document = heartbeat.document(SIGNS, AT)

    assert (11, 1) == tuple(document["sources"][agent]["backlog_bytes"] for agent in ("codex", "gptme"))
    assert 1 == document["tables"]["lag_events"]


def test_what_never_was_is_null() -> None:
    """
    Before the first sweep and the first tables there is no age and no lag, not a zero.
    """
    young = Signs("starting", 0.0, SIGNS.head, Projected(), is_projector_alive=False, blindness=(), last_sweep=None,
                  swept_at=None, behind={}, agents={"codex": "codex"}, inbox_failure=None,
                  checkouts=Looking())  # fmt: skip
    document = heartbeat.document(young, AT)

    assert (None, None, None) == (
        document["tables"]["lag_events"],
        document["tables"]["published_age_seconds"],
        document["sweep"]["age_seconds"],
    )


def test_it_is_replaced_whole_and_readable_by_its_owner_only(host: Host) -> None:
    """
    A reader sees the last one or the next one, and nobody else sees any.
    """
    host.state.create()
    heartbeat.write(host.state, {"n": 1})
    with host.state.health.open("rb") as before:
        heartbeat.write(host.state, {"n": 2})

        assert {"n": 1} == json.loads(before.read())
    assert {"n": 2} == json.loads(host.state.health.read_bytes())
    assert 0 == stat.S_IMODE(host.state.health.stat().st_mode) & 0o077
    assert [] == list(host.state.temporary.iterdir())
