"""The audit log over HTTP: of the installation for its admins, of a project for the project's."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api.common import integer
from tidegate_web.paging import cut
from tidegate_web.permissions import Permission, requires
from tidegate_web.services import Services, services
from tidegate_web.store.models import AnyRow
from tidegate_web.store.queries import audit
from tidegate_web.times import rfc3339


def entry_json(row: AnyRow) -> dict[str, Any]:
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


def wanted_entries(made: Services, *, project: str | None, limit: int) -> tuple[list[AnyRow], int | None]:
    """A piece of the log, newest first, and where the next begins."""
    texts = {name: (request.args.get(name) or "").replace("\x00", "")[:320] or None for name in ("actor", "action")}
    before = integer("after", default=2**62, least=0, most=2**62)
    with made.engine.connect() as connection:
        rows = audit.page(connection, project=project, before=before, limit=limit + 1, **texts)
    piece, last = cut(rows, limit)
    return piece, None if last is None else last.id


def _answer(project: str | None) -> Response:
    limit = integer("limit", default=50, least=1, most=500)
    rows, after = wanted_entries(services(), project=project, limit=limit)
    return jsonify({"items": [entry_json(row) for row in rows], "after": None if after is None else str(after)})


def add_routes(area: Blueprint) -> None:
    """The routes of the audit log."""

    @area.get("/audit")
    @requires(Permission.INSTANCE_ADMIN)
    def whole_log() -> Response:
        project = (request.args.get("project") or "").replace("\x00", "")[:63]
        return _answer(project or None)

    @area.get("/projects/<project>/audit")
    @requires(Permission.ADMIN)
    def project_log(project: str) -> Response:
        return _answer(project)
