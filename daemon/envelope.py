"""
What a message is called: its schema, the hash of what it states, and hence its receipt.

Imported by the hook, which has milliseconds, and by whoever checks: nothing heavy here.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from state.vocabulary import HASH_PATTERN

SCHEMA: Final = "tallystick.inbox/1"

#: Longest message, in bytes. The event it becomes is at most as long as an event may be.
MESSAGE_BYTES_MAX: Final = 64 * 1024

#: What is not part of the statement: a message sent again at another time is the same message.
ABOUT_SENDING: Final = frozenset({"created_at"})
ABOUT_ORDER: Final = ABOUT_SENDING | {"schema", "key", "revision"}

_RECEIPT: Final = re.compile(HASH_PATTERN)


def is_receipt(text: str) -> bool:
    """Say whether *text* has the shape of a receipt."""
    return _RECEIPT.fullmatch(text) is not None


def stated_hash(message: Mapping[str, Any], left_out: Collection[str] = ABOUT_SENDING) -> str:
    """Return the hash of what a message states: compact JSON, names in order, ASCII; 128 bits of SHA-256 in hex."""
    stated = {name: value for name, value in message.items() if name not in left_out}
    text = json.dumps(stated, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
