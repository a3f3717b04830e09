"""What `tallystick repo register | alias` does once its options are read."""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.decode import directory, remote_name
from daemon import show
from daemon.checkout import look
from daemon.history import Histories
from daemon.inbox_client import submit
from daemon.message_keys import registration_key
from daemon.settings import Settings
from projections.read import NothingPublished, Tables, TablesUnusable
from state.errors import TallystickError
from state.evidence import CheckoutFacts
from state.vocabulary import COMMIT_PATTERN, SLUG_PATTERN

DONE = 0

_HASHED: Final = "hash:"
_KNOWN: Final = "SELECT count(*) AS count FROM inbox WHERE kind = 'repo' AND message_key = ?"


class NoCheckout(TallystickError):
    """
    There is no checkout of git at this place. Give another PATH, or --name with --remote, --path or --root.
    """

    exit_code = 2


class NoName(TallystickError):
    """
    Nothing here names the repository: it has no remote called origin whose address has a path. Give --name.
    """

    exit_code = 2


class BadFact(TallystickError):
    """
    This is no name, address, directory or commit that can be registered. The facts say which option is meant.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Registration:
    """The options of `repo register`; ``place`` is null when none was given."""

    place: str | None
    name: str | None
    remotes: Sequence[str]
    paths: Sequence[str]
    roots: Sequence[str]
    is_withdrawn: bool


def register(settings: Settings, asked: Registration, *, as_json: bool) -> int:
    """Say what belongs to a repository: the checkout at a place, or what the options name."""
    is_stated = bool(asked.remotes or asked.paths or asked.roots)
    facts = None if asked.place is None and is_stated else _checkout(asked.place or ".")
    remotes = [*_remotes(facts), *map(_remote, asked.remotes)]
    body = {
        "repo": _slug(asked.name, "--name") if asked.name is not None else _named_by(facts),
        "root_commits": _once([*_root(facts), *(_commit(root) for root in asked.roots)]),
        "remotes": _once(remotes),
        "paths": _once([*_tops(facts), *map(_path, asked.paths)]),
    }
    if not (body["root_commits"] or body["remotes"] or body["paths"]):
        raise NoCheckout(path=show.safe(os.path.abspath(asked.place or ".")))  # noqa: PTH100 - names of any bytes
    receipt = _submitted(settings, body, is_withdrawn=asked.is_withdrawn)
    if as_json:
        show.document({"schema": "tallystick.repo.register/1", **body, "receipt": receipt})
    else:
        show.out(f"{body['repo']} {receipt}")
    return DONE


def alias(settings: Settings, name: str, others: Sequence[str], *, is_withdrawn: bool, as_json: bool) -> int:
    """Say that *others* are further names of the repository *name*; each is a message of its own."""
    repo = _slug(name, "SLUG")
    aliases = _once([_slug(other, "OTHER") for other in others])
    if repo in aliases:
        raise BadFact(option="OTHER", rule="same_name")
    receipts = [_submitted(settings, {"repo": repo, "aliases": [each]}, is_withdrawn=is_withdrawn) for each in aliases]
    if as_json:
        show.document({"schema": "tallystick.repo.alias/1", "repo": repo, "aliases": aliases, "receipts": receipts})
    else:
        for each, receipt in zip(aliases, receipts, strict=True):
            show.out(f"{each} {receipt}")
    return DONE


def _submitted(settings: Settings, facts: dict[str, Any], *, is_withdrawn: bool) -> str:
    """
    Put the facts into the inbox, and return the receipt.

    The key is made of the facts: registered again they are the same registration, and withdrawn it is that one that
    goes. The time orders the two, however often they take turns.
    """
    stated = {name: sorted(value) if isinstance(value, list) else value for name, value in facts.items() if value}
    key = registration_key(stated)
    if is_withdrawn and not _is_known(settings, key):
        show.warn("no such registration is in the tables: unless it is still in the inbox, nothing changes")
    body = stated | ({"is_withdrawn": True} if is_withdrawn else {})
    revision = time.time_ns() // 1_000
    return submit(settings.state, "repo", body, producer="operator", key=key, revision=revision)


def _is_known(settings: Settings, key: str) -> bool:
    try:
        with Tables(settings.state.published) as tables:
            return bool(tables.rows(_KNOWN, [key])[0]["count"])
    except (NothingPublished, TablesUnusable):
        return False


# -- what a checkout says ------------------------------------------------------------------------------------------


def _checkout(place: str) -> CheckoutFacts:
    path = os.path.abspath(place)  # noqa: PTH100 - names of any bytes
    looked = look(path, Histories())
    if looked is None or looked.facts.state != "present":
        state = "missing" if looked is None else looked.facts.state
        raise NoCheckout(path=show.safe(path), state=state)
    return looked.facts


def _remotes(facts: CheckoutFacts | None) -> list[str]:
    """Return the remote that is the checkout's own: `origin`, or the only one."""
    if facts is None:
        return []
    if "origin" in facts.remotes:
        return [facts.remotes["origin"]]
    return list(facts.remotes.values()) if len(facts.remotes) == 1 else []


def _root(facts: CheckoutFacts | None) -> list[str]:
    return [facts.root_commit] if facts is not None and facts.root_commit else []


def _tops(facts: CheckoutFacts | None) -> list[str]:
    """Return where it is checked out; of a bare repository where it lies."""
    if facts is None:
        return []
    found = [path for path in (facts.main_path, facts.top_path) if path] or [facts.git_path or ""]
    return [path for path in found if path and not path.startswith(_HASHED)]


def _named_by(facts: CheckoutFacts | None) -> str:
    """Return the path of the remote `origin`, without its host."""
    origin = facts.remotes.get("origin", "") if facts is not None else ""
    name = origin.partition("/")[2]
    if origin.startswith(_HASHED) or not _fits(SLUG_PATTERN, name):
        raise NoName
    return name


# -- what the options say ------------------------------------------------------------------------------------------


def _slug(text: str, option: str) -> str:
    if not _fits(SLUG_PATTERN, text):
        raise BadFact(option=option, rule="letters, digits and ._/~+-, at most 255")
    return text


def _remote(url: str) -> str:
    name = remote_name(url)
    if name is None:
        raise BadFact(option="--remote", rule="empty")
    if name.startswith(_HASHED):
        show.warn("--remote is no address of a host and a path: it is kept as a hash, and only the very same is found")
    return name


def _path(path: str) -> str:
    found = directory(os.path.abspath(path)) if path else None  # noqa: PTH100 - as above
    if found is None or found.startswith(_HASHED):
        raise BadFact(option="--path", rule="cannot be shown")
    return found


def _commit(text: str) -> str:
    if not _fits(COMMIT_PATTERN, text.lower()):
        raise BadFact(option="--root", rule="a whole commit id: 40 or 64 hexadecimal digits")
    return text.lower()


def _fits(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _once(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))
