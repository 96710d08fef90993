"""Quantities of memory, as Kubernetes writes them (resource.Quantity)."""

import re
from decimal import Decimal
from typing import Final

QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY: Final = ("K", "M", "G", "T", "P", "E")


def bytes_of(quantity: int | str) -> int | None:
    """Whole bytes, rounded up; None for what is no quantity, or a negative one."""
    if isinstance(quantity, int):
        return quantity if quantity >= 0 else None
    match = QUANTITY.fullmatch(quantity) if len(quantity) <= 64 else None
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    value = Decimal(number)
    if exponent is not None:
        value = value.scaleb(int(exponent))
    elif suffix and suffix.endswith("i"):
        value *= 1024 ** (BINARY.index(suffix[0]) + 1)
    elif suffix:
        value = value.scaleb(DECIMAL[suffix])
    return int(value.to_integral_value(rounding="ROUND_CEILING"))
