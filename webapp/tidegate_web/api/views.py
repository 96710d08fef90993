"""The API's blueprint: runs, and the few calls about the installation itself."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import (
    auditlog,
    backfilling,
    batch,
    bulk,
    definitions,
    keys,
    members,
    people,
    project_settings,
    projects,
    run_actions,
    runs,
    stats,
    triggering,
    webhooks,
)
from tidegate_web.api.response_types import Items
from tidegate_web.current_app import services
from tidegate_web.health.dependencies import DependencyAnswer, as_json, dependencies
from tidegate_web.openapi.operations import describes
from tidegate_web.shared.permissions import Permission, requires


def blueprint() -> Blueprint:
    """``/api/v1``."""
    area = Blueprint("api", __name__, url_prefix="/api/v1")
    for part in (
        runs, run_actions, batch, bulk, stats, definitions, triggering, backfilling, people, members, keys, auditlog, webhooks,
        projects, project_settings,
    ):  # fmt: skip
        part.add_routes(area)

    @area.get("/health")
    @requires(Permission.SIGNED_IN)
    @describes(
        "Report the health of the operator, the mirror, Postgres, Redis and the cluster",
        name="get_health",
        answer=Items[DependencyAnswer],
    )
    def health() -> Response:
        found: Items[DependencyAnswer] = {"items": [as_json(one) for one in dependencies(services())]}
        return jsonify(found)

    return area
