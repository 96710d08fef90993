"""Lists in pieces: one row more is asked for than is wanted, and shows whether there is another piece."""

from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row")


def cut(rows: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """The piece, and its last row when more comes after it: where the next begins."""
    piece = list(rows[:limit])
    return piece, piece[-1] if len(rows) > limit else None
