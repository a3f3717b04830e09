"""The contract of evidence and what the hot path writes are the same shapes."""

from typing import Any, get_args

import msgspec
import pytest

from adapters.contract import (
    ClaimFacts,
    ClaimStated,
    HiddenCall,
    LineRejected,
    Observed,
    SentinelStated,
    SessionNamed,
    SessionStated,
    TaskNamed,
    TurnStated,
    UsageStated,
)
from daemon.items import ItemSilent
from daemon.provenance import DaemonChanged, SourceChanged
from state import evidence
from state.evidence import KINDS, MESSAGES, Frozen, LineProvenance, Provenance
from state.upcast import upcast

WRITTEN: dict[str, type[Observed]] = {
    "usage": UsageStated,
    "session": SessionStated,
    "turn": TurnStated,
    "hidden_call": HiddenCall,
    "task_named": TaskNamed,
    "session_named": SessionNamed,
    "sentinel": SentinelStated,
    "claim": ClaimStated,
    "rejected": LineRejected,
    "silent": ItemSilent,
    "source": SourceChanged,
    "daemon": DaemonChanged,
}


def own_fields(model: type[Frozen]) -> dict[str, Any]:
    shared = set(LineProvenance.model_fields) | set(Provenance.model_fields) | {"k"}
    return {name: info for name, info in model.model_fields.items() if name not in shared}


@pytest.mark.parametrize("kind", sorted(WRITTEN))
def test_an_observation_has_exactly_the_fields_of_its_contract(kind: str) -> None:
    """
    A field that an adapter can state is in the contract, with the same words, and null where it can be left out.
    """
    are_equal(own_fields(KINDS[kind]), WRITTEN[kind])


def test_a_claim_has_exactly_the_fields_of_its_contract() -> None:
    """
    The record within the event, too.
    """
    are_equal(dict(evidence.ClaimFacts.model_fields), ClaimFacts)


def are_equal(contract: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    written = {field.name: field for field in msgspec.structs.fields(struct)}
    assert set(contract) == set(written)
    for name, field in written.items():
        assert contract[name].is_required() == field.required, name
        assert words_of(contract[name].annotation) == words_of(field.type), name


def words_of(annotation: Any) -> set[str]:
    """Return the closed words of a type, however deep they stand in it."""
    found = {part for part in get_args(annotation) if isinstance(part, str)}
    return found.union(*(words_of(part) for part in get_args(annotation) if not isinstance(part, str)), set())


def test_every_kind_that_is_written_has_a_contract() -> None:
    """
    What no adapter states comes from the log itself, a look at a checkout, the configuration, or through the inbox.
    """
    seen = {
        "recovery",
        "message_rejected",
        "checkout",
        "git_commit",
        "rules",
        "tally",
        "trajectory",
        "published",
        "rates",
    }
    assert seen | set(MESSAGES) == set(KINDS) - set(WRITTEN)


def test_an_older_event_is_upcast_step_by_step() -> None:
    """
    A log of an older version is read without being rewritten; a newer event is left alone.
    """
    steps = {1: lambda event: event | {"b": event["a"]}, 2: lambda event: event | {"c": event["b"] + 1}}

    assert {"v": 3, "a": 1, "b": 1, "c": 2} == upcast({"v": 1, "a": 1}, steps, to=3)
    assert {"v": 9, "a": 1} == upcast({"v": 9, "a": 1}, steps, to=3)
