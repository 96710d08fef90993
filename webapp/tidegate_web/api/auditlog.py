"""The audit log over HTTP: of the installation for its admins, of a project for the project's."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api.parameters import BEFORE_ID, LIMIT
from tidegate_web.api.response_types import Page
from tidegate_web.api.response_types_people import AuditEntry
from tidegate_web.audit import entries
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.audit import AuditRow

ACTOR = Text(name="actor", description="Of whom.")
ACTION = Text(name="action", description="Of what, such as `run.create`.")
PROJECT = Text(name="project", description="In which project.")
ENTRIES = (ACTOR, ACTION, LIMIT, BEFORE_ID)


def entry_json(row: AuditRow) -> AuditEntry:
    return {
        "id": row.id,
        "at": rfc3339(row.at),
        "actor": row.actor,
        "address": row.address,
        "action": row.action,
        "project": row.project,
        "target": row.target,
        "outcome": row.outcome,
        "detail": row.detail,
    }


def wanted_entries(*, project: str | None, limit: int) -> tuple[list[AuditRow], int | None]:
    """The piece of the log that the request asks for, and where the next begins."""
    before, of, action = BEFORE_ID.asked(), ACTOR.asked(), ACTION.asked()
    return entries.page(services(), project=project, before=before, limit=limit, actor=of, action=action)


def _answer(project: str | None) -> Response:
    rows, after = wanted_entries(project=project, limit=LIMIT.asked())
    page: Page[AuditEntry] = {
        "items": [entry_json(row) for row in rows],
        "after": None if after is None else str(after),
    }
    return jsonify(page)


def add_routes(area: Blueprint) -> None:
    """The routes of the audit log."""

    @area.get("/audit")
    @requires(Permission.INSTANCE_ADMIN)
    @describes(
        "List who wrote what, newest first", name="list_audit", parameters=[PROJECT, *ENTRIES], answer=Page[AuditEntry]
    )
    def whole_log() -> Response:
        return _answer(PROJECT.asked())

    @area.get("/projects/<project>/audit")
    @requires(Permission.ADMIN)
    @describes(
        "List who wrote what in a project, newest first",
        name="list_project_audit",
        parameters=ENTRIES,
        answer=Page[AuditEntry],
    )
    def project_log(project: str) -> Response:
        return _answer(project)
