"""Money in whole numbers: prices have six decimals at most, and no sum depends on the order of adding."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

_MICROS: Final = 10**6


def micros(usd: Decimal) -> int:
    """Return dollars as micro-dollars; what is finer is rounded, half to even."""
    return int((usd * _MICROS).to_integral_value(ROUND_HALF_EVEN))
