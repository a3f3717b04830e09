"""New messages of one kind in the daemon's own tables: each is looked at once, however often the tables are asked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb


@dataclass(slots=True)
class NewMessages:
    """
    The messages of *kind* behind the last one that was seen.

    Their numbers go up in the order of the rows, so that only the end of the table is looked at. A table that was made
    anew has the same numbers.
    """

    kind: str
    seen_seq: int = -1

    def of(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[datetime, int, dict[str, Any]]]:
        """Yield when each was written (UTC), its revision (0 where it has none) and its body."""
        query = (
            "SELECT seq, coalesce(source_created_at, ingested_at), coalesce(revision, 0), CAST(body AS VARCHAR) "
            "FROM events WHERE seq > ? AND kind = ? ORDER BY seq"
        )
        for seq, at, revision, body in connection.execute(query, [self.seen_seq, self.kind]).fetchall():
            self.seen_seq = seq
            yield at.replace(tzinfo=UTC), revision, json.loads(body)
