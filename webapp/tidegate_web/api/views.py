"""The API's blueprint: runs, and the few calls about the installation itself."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import (
    acts,
    auditlog,
    batch,
    bulk,
    definitions,
    keys,
    members,
    people,
    project_settings,
    projects,
    runs,
    stats,
    triggering,
    webhooks,
)
from tidegate_web.health.neighbours import neighbours
from tidegate_web.permissions import Permission, requires
from tidegate_web.problems import Problem
from tidegate_web.services import services

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def blueprint() -> Blueprint:
    """``/api/v1``."""
    area = Blueprint("api", __name__, url_prefix="/api/v1")
    for part in (
        runs, acts, batch, bulk, stats, definitions, triggering, people, members, keys, auditlog, webhooks,
        projects, project_settings,
    ):  # fmt: skip
        part.add_routes(area)

    @area.get("/health")
    @requires(Permission.SIGNED_IN)
    def health() -> Response:
        return jsonify({"items": [neighbour.as_json() for neighbour in neighbours(services())]})

    @area.route("/", defaults={"path": ""}, methods=METHODS)
    @area.route("/<path:path>", methods=METHODS)
    @requires(Permission.PUBLIC)
    def nothing(path: str) -> Response:
        del path
        raise Problem(404, "There is no such call.")

    return area
