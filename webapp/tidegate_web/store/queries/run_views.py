"""Saved views of the list of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import aliased

from tidegate_web.store.models import RunView
from tidegate_web.store.rows import all_rows, row_of, row_or_none

VIEW = (RunView.id, RunView.owner_id, RunView.name, RunView.filters, RunView.columns, RunView.created_by)


@dataclass(frozen=True, slots=True)
class RunViewRow:
    """A saved view. ``owner_id``: None for one of the project."""

    id: int
    owner_id: int | None
    name: str
    filters: dict[str, str]
    columns: list[str] | None
    created_by: str


def hold(connection: Connection, *, project: str) -> None:
    """Let one transaction at a time write views of a project: how many there are, and which names are free, stays so until its
    end."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"run_views {project}", 0))))


def listed(connection: Connection, *, project: str, user_id: int | None) -> list[RunViewRow]:
    """The views of a project and those that a user has of their own there, by name."""
    found = select(*VIEW).where(RunView.project == project, _seen_by(user_id)).order_by(RunView.name, RunView.id)
    return all_rows(RunViewRow, connection.execute(found))


def find(connection: Connection, *, project: str, user_id: int | None, view_id: int) -> RunViewRow | None:
    """One that this user sees."""
    found = select(*VIEW).where(RunView.id == view_id, RunView.project == project, _seen_by(user_id))
    return row_or_none(RunViewRow, connection.execute(found).one_or_none())


def names(connection: Connection, *, project: str, owner_id: int | None) -> dict[str, int]:
    """The names that are taken, each with the id of its view: among a user's own, or among those of the project."""
    whose = RunView.owner_id == owner_id if owner_id is not None else RunView.owner_id.is_(None)
    rows = connection.execute(select(RunView.name, RunView.id).where(RunView.project == project, whose))
    return {row.name: row.id for row in rows}


def create(
    connection: Connection,
    *,
    project: str,
    owner_id: int | None,
    name: str,
    filters: Mapping[str, str],
    columns: Sequence[str] | None,
    by: str,
) -> RunViewRow:
    values = {"filters": dict(filters), "columns": None if columns is None else list(columns)}
    added = pg_insert(RunView).values(project=project, owner_id=owner_id, name=name, created_by=by, **values)
    return row_of(RunViewRow, connection.execute(added.returning(*VIEW)).one())


def change(connection: Connection, *, view_id: int, values: Mapping[str, object]) -> None:
    connection.execute(update(RunView).where(RunView.id == view_id).values(**values))


def remove(connection: Connection, *, view_id: int) -> None:
    connection.execute(delete(RunView).where(RunView.id == view_id))


def move(connection: Connection, *, source: str, target: str) -> None:
    """Give all views of a project to another one. Those whose names are taken there are dropped."""
    there = aliased(RunView)
    taken = select(there.id).where(
        there.project == target, there.name == RunView.name, there.owner_id.is_not_distinct_from(RunView.owner_id)
    )
    connection.execute(delete(RunView).where(RunView.project == source, taken.exists()))
    connection.execute(update(RunView).where(RunView.project == source).values(project=target))


def _seen_by(user_id: int | None) -> ColumnElement[bool]:
    of_project = RunView.owner_id.is_(None)
    return of_project if user_id is None else or_(of_project, RunView.owner_id == user_id)
