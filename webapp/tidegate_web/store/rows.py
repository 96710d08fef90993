"""How a row of a query becomes a value with typed fields.

Each query names the shape of what it gives: a frozen dataclass beside it, with a field a column, in the order of the columns. The
type checker compares the fields with the first eight to ten columns, which is as far as SQLAlchemy types them;
``tests/unit/web/test_rows.py`` compares the names and types of them all.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from sqlalchemy import Result, Row, Select

Columns = TypeVarTuple("Columns")
Shape = TypeVar("Shape")

WideSelect: TypeAlias = Select[*tuple[Any, ...]]
"""A query of more columns than SQLAlchemy types, or of columns that a caller chooses."""


def all_rows(make: Callable[[*Columns], Shape], found: Result[*Columns]) -> list[Shape]:
    """Every row of an answer, in its order."""
    return [make(*row) for row in found]


def row_of(make: Callable[[*Columns], Shape], row: Row[*Columns]) -> Shape:
    """A row that is always found."""
    return make(*row)


def row_or_none(make: Callable[[*Columns], Shape], row: Row[*Columns] | None) -> Shape | None:
    """The row that was found, if one was."""
    return None if row is None else make(*row)
