"""Saved views of the list of runs: filters, and columns if wanted, under a name. A user's own views are seen by that
user alone. Views of the project are seen by all of its members and written by its developers.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import Connection

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import run_views
from tidegate_web.store.queries.run_views import RunViewRow

MOST: Final = 50
"""Views of a user in a project, and views of a project."""
NAME_MAX: Final = 63
FILTERS_MAX: Final = 2000
"""Characters of the filters in an address: no browser or proxy cuts a link of that length."""
WRITES_THE_PROJECTS: Final = Role.DEVELOPER


@dataclass(frozen=True, kw_only=True)
class SavedViews:
    """What a user sees in a project, by name."""

    own: list[RunViewRow]
    of_project: list[RunViewRow]


@dataclass(frozen=True, kw_only=True)
class ViewContent:
    """What a view shows. ``filters``: as in the address of the list; ``columns``: None where each user sees their own."""

    filters: Mapping[str, str]
    columns: Sequence[str] | None

    def as_columns(self) -> JsonObject:
        """As they are stored, and in the audit log."""
        return {"filters": dict(self.filters), "columns": None if self.columns is None else list(self.columns)}


def listed(made: Services, project: str, *, user_id: int | None) -> SavedViews:
    """The views of a project and a user's own there."""
    with made.engine.connect() as connection:
        rows = run_views.listed(connection, project=project, user_id=user_id)
    return SavedViews(
        own=[row for row in rows if row.owner_id is not None], of_project=[row for row in rows if row.owner_id is None]
    )


def listed_or_none(made: Services, project: str, *, user_id: int | None) -> SavedViews | None:
    """The same; None while Postgres is away."""
    return with_fallback(lambda: listed(made, project, user_id=user_id), lambda: None)


def find(made: Services, actor: Actor, project: str, view_id: int) -> RunViewRow:
    """One that the actor sees."""
    with made.engine.connect() as connection:
        return _found(connection, actor, project, view_id)


def save(
    made: Services, actor: Actor, project: str, *, name: str, content: ViewContent, of_project: bool
) -> RunViewRow:
    """Save a view under a new name."""
    require_project(made, project, to_write=True)
    name = checked_name(name)
    _check_size(content)
    detail = _detail(of_project=of_project) | (content.as_columns() if of_project else {})
    target = name if of_project else None
    with audited(made, actor, "view.create", project=project, target=target, detail=detail) as record:
        _check_role(actor, project, of_project=of_project)
        owner_id = None if of_project else actor.user.id
        with made.engine.begin() as connection:
            run_views.hold(connection, project=project)
            _check_free(connection, project, owner_id=owner_id, name=name)
            row = run_views.create(
                connection,
                project=project,
                owner_id=owner_id,
                name=name,
                filters=content.filters,
                columns=content.columns,
                by=actor.name,
            )
        record.target = target or str(row.id)
        return row


def rename(made: Services, actor: Actor, project: str, view_id: int, *, name: str) -> None:
    """Give a view another name."""
    require_project(made, project, to_write=True)
    name = checked_name(name)
    row = find(made, actor, project, view_id)
    of_project = row.owner_id is None
    detail = _detail(of_project=of_project) | ({"name": name} if of_project else {})
    with audited(made, actor, "view.change", project=project, target=_target(row), detail=detail):
        _check_role(actor, project, of_project=of_project)
        with made.engine.begin() as connection:
            run_views.hold(connection, project=project)
            _found(connection, actor, project, view_id)
            _check_free(connection, project, owner_id=row.owner_id, name=name, but=view_id)
            run_views.change(connection, view_id=view_id, values={"name": name})


def replace(made: Services, actor: Actor, project: str, view_id: int, *, content: ViewContent) -> None:
    """Give a view other filters and columns."""
    require_project(made, project, to_write=True)
    _check_size(content)
    row = find(made, actor, project, view_id)
    of_project = row.owner_id is None
    detail = _detail(of_project=of_project) | (content.as_columns() if of_project else {})
    with audited(made, actor, "view.change", project=project, target=_target(row), detail=detail):
        _check_role(actor, project, of_project=of_project)
        with made.engine.begin() as connection:
            run_views.hold(connection, project=project)
            _found(connection, actor, project, view_id)
            run_views.change(connection, view_id=view_id, values=content.as_columns())


def remove(made: Services, actor: Actor, project: str, view_id: int) -> None:
    """Delete a view."""
    require_project(made, project, to_write=True)
    row = find(made, actor, project, view_id)
    of_project = row.owner_id is None
    detail = _detail(of_project=of_project)
    with audited(made, actor, "view.delete", project=project, target=_target(row), detail=detail):
        _check_role(actor, project, of_project=of_project)
        with made.engine.begin() as connection:
            run_views.hold(connection, project=project)
            _found(connection, actor, project, view_id)
            run_views.remove(connection, view_id=view_id)


def checked_name(name: str) -> str:
    """A name as it is stored; 422 for what isn't one line of printable characters. Control characters and those that turn the
    direction of text are not printable."""
    name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= NAME_MAX:
        raise invalid("name", f"must have 1 to {NAME_MAX} characters")
    if not name.isprintable():
        raise invalid("name", "must be one line without control characters")
    return name


def _check_size(content: ViewContent) -> None:
    if len(urlencode(content.filters)) > FILTERS_MAX:
        raise Problem(422, f"The filters of a view have at most {FILTERS_MAX} characters as an address.")


def _check_role(actor: Actor, project: str, *, of_project: bool) -> None:
    role = actor.role_in(project)
    if of_project and (role is None or role < WRITES_THE_PROJECTS):
        raise Problem(403, f"Views of the project need the role {WRITES_THE_PROJECTS.label}.")
    if actor.caller.user is None:
        raise Problem(403, "Views are saved by people, not with an API key.")


def _check_free(
    connection: Connection, project: str, *, owner_id: int | None, name: str, but: int | None = None
) -> None:
    taken = run_views.names(connection, project=project, owner_id=owner_id)
    if taken.get(name, but) != but:
        raise Problem(409, "There is a view of this name already.")
    if but is None and len(taken) >= MOST:
        whose = "A user has at most" if owner_id is not None else "A project has at most"
        raise Problem(409, f"{whose} {MOST} views here.")


def _found(connection: Connection, actor: Actor, project: str, view_id: int) -> RunViewRow:
    user = actor.caller.user
    row = run_views.find(connection, project=project, user_id=user.id if user else None, view_id=view_id)
    if row is None:
        raise Problem(404, "There is no such view.")
    return row


def _detail(*, of_project: bool) -> JsonObject:
    return {"of": "project" if of_project else "user"}


def _target(row: RunViewRow) -> str:
    """What the project's admins read in the audit log: nothing of a user's own view but its id."""
    return row.name if row.owner_id is None else str(row.id)
