"""Where the next page begins, as a word that a caller takes from one answer to the next question."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from state.errors import TallystickError

#: Longest word that is looked at.
AFTER_CHARACTERS_MAX: Final = 4096


class BadAfter(TallystickError):
    """
    No page begins there. Take the `next` of the page before as it is, for the same question.
    """

    exit_code = 2


def written(key: Sequence[Any]) -> str:
    """Return the word for what stands behind a row with this key."""
    shown = [value.isoformat() if isinstance(value, datetime) else value for value in key]
    return base64.urlsafe_b64encode(json.dumps(shown, default=str).encode()).decode().rstrip("=")


def read(word: str, kinds: Sequence[str]) -> list[Any]:
    """
    Return the key that *word* stands for; each value null, or of its column's type.

    Raises:
        BadAfter: It is none, or of another question.
    """
    if len(word) > AFTER_CHARACTERS_MAX:
        raise BadAfter
    try:
        values = json.loads(base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise BadAfter
        return [None if value is None else _typed(value, kind) for value, kind in zip(values, kinds, strict=True)]
    except (binascii.Error, ValueError, TypeError, RecursionError, OverflowError):
        raise BadAfter from None


def _typed(value: Any, kind: str) -> Any:  # noqa: ANN401 - whatever a column holds
    if kind in ("TIMESTAMP", "DATE"):
        moment = datetime.fromisoformat(value).replace(tzinfo=None)
        return moment if kind == "TIMESTAMP" else moment.date()
    if kind == "VARCHAR" and isinstance(value, str):
        value.encode()  # half a character cannot be asked for
        return value
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind in ("BIGINT", "INTEGER") and is_number:
        return value
    raise BadAfter
