"""Rows have a field a column: of the same name, in the same order, of the same type."""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import ColumnElement
from tidegate_web.store import queries, run_rows
from tidegate_web.store.queries import (
    audit,
    bulk,
    keys,
    members,
    project_moves,
    retention,
    run_graph,
    users,
    webhooks,
)
from tidegate_web.store.queries.members import OpenInvitationRow
from tidegate_web.store.queries.users import AccountRow, SessionRow

Columns = Sequence[InstrumentedAttribute[Any] | ColumnElement[Any]]

SHAPES: dict[type, Columns] = {
    AccountRow: users.SHOWN,
    SessionRow: users.SESSION,
    OpenInvitationRow: members.INVITATION,
    audit.AuditRow: audit.ENTRY,
    bulk.OperationRow: bulk.OPERATION,
    keys.KeyRow: keys.SHOWN,
    keys.ListedKeyRow: keys.SHOWN,
    keys.OwnedKeyRow: keys.SHOWN,
    keys.GoodKeyRow: keys.GOOD,
    members.InvitationRow: members.INVITATION,
    project_moves.MoveRow: project_moves.MOVE,
    retention.CandidateRow: retention.CANDIDATE,
    run_graph.GraphRow: run_graph.PLAIN,
    run_rows.ListedRunRow: run_rows.SUMMARY,
    run_rows.RunRow: run_rows.WHOLE,
    run_rows.RunStatusRow: run_rows.WITH_STATUS,
    run_rows.RunSummaryRow: run_rows.SUMMARY,
    webhooks.ClaimedDeliveryRow: webhooks.CLAIMED,
    webhooks.DeliveryRow: webhooks.DELIVERY,
    webhooks.WebhookRow: webhooks.SHOWN,
}
"""The columns that a row has, or begins with: some queries add one or two, which the type checker sees."""
CHECKED_BY_MYPY = 8


def declared(column: InstrumentedAttribute[object]) -> object:
    (kind,) = get_args(get_type_hints(column.class_)[column.key])
    return kind


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_row_has_a_field_a_column(shape: type) -> None:
    columns = SHAPES[shape]
    names = list(get_type_hints(shape))[: len(columns)]
    assert names == [column.key for column in columns]
    kinds = get_type_hints(shape)
    for column in columns:
        if isinstance(column, InstrumentedAttribute):
            assert kinds[column.key] == declared(column), column.key


def all_shapes() -> Iterator[type]:
    modules = [
        importlib.import_module(f"{queries.__name__}.{each.name}") for each in pkgutil.iter_modules(queries.__path__)
    ]
    for module in (*modules, run_rows):
        for name, value in vars(module).items():
            if name.endswith("Row") and isinstance(value, type) and is_dataclass(value):
                yield value


def test_each_row_that_is_too_wide_for_the_type_checker_is_compared() -> None:
    wide = {shape for shape in all_shapes() if len(fields(shape)) > CHECKED_BY_MYPY and is_row(shape)}
    assert wide
    assert wide <= SHAPES.keys()


def is_row(shape: type) -> bool:
    """Whether it is made of a row by its place; what has a field by name alone is made by hand."""
    return not any(field.kw_only for field in fields(shape))
