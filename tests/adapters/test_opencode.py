"""
What OpenCode's rows and documents mean, and where they are.
"""

from pathlib import PurePosixPath

import msgspec
import pytest

from adapters.contract import Header, Root
from adapters.opencode import OpenCode
from adapters.opencode_storage import OpenCodeStorage
from daemon.conformance import observed, plain

HOME = PurePosixPath("/home/ann")
DATA = HOME / ".local/share/opencode"
HEADER = Header("opencode", "main")


def message(**over):
    """
    Return the JSON of a complete answer, with some fields changed.
    """
    fields = {
        "role": "assistant",
        "providerID": "fake",
        "modelID": "fake-1",
        "path": {"cwd": "/srv/orchard"},
        "tokens": {"input": 10, "output": 5, "reasoning": 0, "cache": {"read": 0, "write": 0}},
        "time": {"created": 1793526196470, "completed": 1793526201012},
    }
    return msgspec.json.encode(fields | over)


def row(key="msg_1", data=None, session="ses_a"):
    """
    Return a row of the database.
    """
    return {"item_key": key.encode(), "session_id": session.encode(), "data": data or message()}


def identity_of(data, key="msg_1", session="ses_a"):
    """
    Return the identity of the one call that a row states.
    """
    (said,) = plain(OpenCode().read_row(row(key, data, session), HEADER))
    return said["source_id"]


def test_copies_share_an_identity_and_so_does_the_document_before():
    """
    A fork changes the ids of message, session and parent; the database began as a copy of the documents.
    """
    (said,) = plain(observed(OpenCodeStorage(), message(id="msg_1", sessionID="ses_a"), HEADER))

    assert identity_of(message()) == identity_of(message(parentID="msg_other"), "msg_9", "ses_9")
    assert identity_of(message()) == said["source_id"]


@pytest.mark.parametrize(
    "over",
    [
        {"time": {"created": 1793526196471, "completed": 1793526201012}},
        {"time": {"created": 1793526196470, "completed": 1793526201013}},
        {"providerID": "other"},
        {"modelID": "fake-2"},
        {"path": {"cwd": "/srv/lighthouse"}},
    ],
)
def test_what_tells_two_calls_apart(over):
    """
    When it began, when it ended, provider, model and directory: each of them makes another call.
    """
    assert identity_of(message()) != identity_of(message(**over))


def test_tokens_and_cost_are_no_part_of_an_identity():
    """
    They are filled in while the answer streams.
    """
    assert identity_of(message()) == identity_of(message(tokens={"input": 99, "output": 1}, cost=1.5, finish="stop"))


def test_databases_of_all_channels_are_claimed_and_nothing_beside_them():
    """
    A write-ahead log is part of its database, no source of its own.
    """
    (root,) = OpenCode().roots(HOME, {})
    names = ("opencode.db", "opencode-dev.db", "opencode.db-wal", "opencode.db-shm", "other.db", "opencode.json")

    claimed = [name for name in names if OpenCode().claim(root, PurePosixPath(name))]

    assert Root(DATA, is_flat=True) == root
    assert ["opencode.db", "opencode-dev.db"] == claimed


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_DATA_HOME": "/data"}, ["/data/opencode"]),
        ({"OPENCODE_DB": "/elsewhere/mine.sqlite"}, [str(DATA), "/elsewhere/mine.sqlite"]),
        ({"OPENCODE_DB": "mine.db"}, [str(DATA), str(DATA / "mine.db")]),
        ({"OPENCODE_DB": ":memory:"}, [str(DATA)]),
        ({"OPENCODE_DB": " "}, [str(DATA)]),
    ],
)
def test_roots_follow_the_operators_settings(environment, expected):
    """
    The data folder moves with XDG, and a database of its own may be named, by its path or beside the others.
    """
    roots = list(OpenCode().roots(HOME, environment))

    assert expected == [str(root.path) for root in roots]
    assert all(OpenCode().claim(root, PurePosixPath()) for root in roots[1:])


@pytest.mark.parametrize(
    ("relative", "session"),
    [
        ("ses_a/msg_1.json", "ses_a"),
        ("orchard/storage/session/message/ses_b/msg_1.json", "ses_b"),
        ("ses_a/prt_1.json", None),
        ("orchard/storage/session/info/ses_b.json", None),
        ("msg_1.json", None),
    ],
)
def test_messages_are_claimed_in_both_layouts(relative, session):
    """
    One storage for all, before that one per project; parts and sessions hold no usage.
    """
    header = OpenCodeStorage().claim(Root(DATA), PurePosixPath(relative))

    assert session == (header.session_id if header else None)
