"""`tallystick crosscheck`: says in a table, or as JSON, why a peer has other figures."""

from collections.abc import Mapping
from typing import Any, Final

from daemon import show
from daemon.exports.crosscheck import UNEXPLAINED, compared
from daemon.exports.peer import Peer
from daemon.lag import warn_of_lag
from daemon.settings import Settings
from projections.read import Tables

DONE, FINDINGS = 0, 1

_COLUMNS: Final = ("agent", "figure", "count", "tokens", "what")


def crosscheck(settings: Settings, command: str, *, as_json: bool) -> int:
    """
    Run the peer and explain every difference; 1 when a part of one is unexplained.

    Raises:
        PeerMissing, PeerFailed: The peer gave no report.
        NothingPublished, TablesUnusable: We have none.
    """
    with Tables(settings.state.published) as tables:
        document = compared(tables, Peer(command, settings))
        warn_of_lag(tables.head(), settings)
    if as_json:
        show.document(document)
    else:
        show.table(_COLUMNS, [line for agent in document["agents"] for line in _lines(agent)])
        show.out(_verdict(document))
    return FINDINGS if any(_unexplained(agent) for agent in document["agents"]) else DONE


def _lines(agent: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = agent["agent"]
    return [
        {"agent": name, "figure": "ours", "tokens": agent["ours"]["total_tokens"]},
        {"agent": name, "figure": "theirs", "tokens": agent["theirs"]["total_tokens"]},
        *(
            {
                "agent": name,
                "figure": f"  {each['class']}",
                "count": each["count"],
                "tokens": each["total_tokens"],
                "what": each["what"],
            }
            for each in agent["classes"]
        ),
    ]


def _verdict(document: Mapping[str, Any]) -> str:
    peer = document["peer"]
    rest = {agent["agent"]: _unexplained(agent) for agent in document["agents"]}
    left = ", ".join(f"{count:,} places of {agent}" for agent, count in rest.items() if count)
    said = f"{peer['name']} {peer['version'] or '(version unknown)'}: "
    said += f"unexplained in {left}; --json lists them" if left else "every difference is explained"
    return said + (f"; {document['unread_bytes']:,} bytes are not read here yet" if document["unread_bytes"] else "")


def _unexplained(agent: Mapping[str, Any]) -> int:
    """Return in how many places something is unexplained, also where that adds up to nothing."""
    return sum(UNEXPLAINED in cell["classes"] for cell in agent["cells"])
