"""What became of messages that were just sent, several at once; nothing here waits."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from daemon.inbox_client import Outcome, is_waiting
from daemon.receipts import Recorded
from state.errors import TallystickError
from state.paths import StatePaths


def waiting(paths: StatePaths, receipts: Sequence[str]) -> AbstractSet[str]:
    """Return those of *receipts* whose files are still in the inbox."""
    return {each for each in receipts if is_waiting(paths, each)}


def known(paths: StatePaths, receipts: Sequence[str]) -> AbstractSet[str]:
    """Return those of *receipts* that inbox or log have already; asked before they are sent (again)."""
    taken = {each.receipt for each in _recorded(paths, receipts) if each.state != "unknown"}
    return taken | waiting(paths, receipts)


def outcomes(
    paths: StatePaths, receipts: Sequence[str], unread: AbstractSet[str], before: AbstractSet[str]
) -> list[Outcome]:
    """
    Return what became of *receipts*, in order.

    Args:
        paths: The state directory.
        receipts: What was sent.
        unread: Those of them that are still `waiting`: they are `pending`.
        before: Those of them that were `known` before: stored, they are `duplicate`.

    Returns:
        Of each its outcome; `unknown` where the log cannot be read, for what was accepted stays accepted.
    """
    found = {each.receipt: each for each in _recorded(paths, [each for each in receipts if each not in unread])}
    told = [found.get(each, Outcome(each, "pending")) for each in receipts]
    return [replace(each, state="duplicate") if _is_duplicate(each, before) else each for each in told]


def _is_duplicate(outcome: Outcome, before: AbstractSet[str]) -> bool:
    return outcome.state == "stored" and outcome.receipt in before


def _recorded(paths: StatePaths, receipts: Sequence[str]) -> list[Outcome]:
    if not receipts:
        return []
    try:
        with Recorded(paths) as recorded:
            fates = recorded.fates(receipts)
    except TallystickError:
        fates = {}
    return [
        Outcome(each, fate.state, fate.seq, fate.by_seq, fate.code, fate.field)
        if (fate := fates.get(each)) is not None
        else Outcome(each, "unknown")
        for each in receipts
    ]
