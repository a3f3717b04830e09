"""`tallystick quality`: what is not as good as a measured call of a known repository."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from daemon import show
from daemon.health.limits import limits
from daemon.reconcile.counted import count
from daemon.settings import Settings
from daemon.window import moment_of
from projections.read import Tables, Window, plain
from projections.usage import unpriced

_RESIDUALS: Final = """
SELECT
    count(*) FILTER (WHERE residual_tokens <> 0) AS files,
    CAST(coalesce(sum(abs(residual_tokens)), 0) AS BIGINT) AS tokens
FROM reconciliation
"""

_DRIFT: Final = "SELECT agent, agent_version FROM drift WHERE state = 'drifting' ORDER BY ALL"


def quality(settings: Settings, since: str | None, *, as_json: bool) -> int:
    """Show it; 0, since whether it is wrong is for `findings` to say."""
    with Tables(settings.state.published) as tables:
        document = quality_document(tables, moment_of("--since", since), limits(settings).canary_events)
    if as_json:
        show.document(document)
    else:
        show.table(("what", "number"), [{"what": name, "number": number} for name, number in _lines(document)])
    return 0


def quality_document(tables: Tables, since: datetime | None, canary_events: int) -> dict[str, Any]:
    """
    Return the document of `quality --json`.

    Args:
        tables: The published ones.
        since: Only what happened from then on, aware; null for everything. Residuals and drift are of everything.
        canary_events: So many signs of work without a token make a day a flatline.
    """
    head = tables.head()
    return {
        "schema": "tallystick.quality/1",
        "as_of": {"seq": head.seq, "at": plain(head.committed_at)},
        "since": plain(since),
        **count(tables, since, canary_events).document(),
        "residuals": tables.rows(_RESIDUALS)[0],
        "drift": plain(tables.rows(_DRIFT)),
        "unpriced": unpriced(tables, Window(None if since is None else since.astimezone(UTC).replace(tzinfo=None))),
    }


def _lines(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("ids counted twice", document["duplicates"]["counted_twice"]),
        ("ids under which programs disagree", document["duplicates"]["disagreeing"]),
        ("fallback events", document["fallbacks"]["events"]),
        ("of which count beside a measurement", document["fallbacks"]["leaked"]),
        ("unattributed sessions", document["unattributed"]["sessions"]),
        ("reports without provenance", document["without_provenance"]),
        ("flatline days", len(document["flatline_days"])),
        ("files with a residual", document["residuals"]["files"]),
        ("tokens of residuals", document["residuals"]["tokens"]),
        ("versions that drift", len(document["drift"])),
        ("calls without a price", sum(each["calls"] for each in document["unpriced"])),
    ]
