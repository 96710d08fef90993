"""A project's settings over HTTP: how long its history is kept, and how much of its room it has used."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import ProjectSettings
from tidegate_web.api.response_types_people import Settings
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects import settings
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires


def settings_json(made: Services, project: str) -> Settings:
    found = settings.current(made, project)
    days = found.retention_days
    return {
        "retentionDays": days,
        "effectiveRetentionDays": made.settings.retention_days if days is None else days,
        "archive": {"usedBytes": found.used_bytes, "maxBytes": made.settings.project_bytes or None},
    }


def add_routes(area: Blueprint) -> None:
    """The routes of a project's settings."""

    @area.get("/projects/<project>/settings")
    @requires(Permission.VIEWER)
    @describes("Look at a project's settings", answer=Settings)
    def get_settings(project: str) -> Response:
        made = services()
        require_project(made, project)
        return jsonify(settings_json(made, project))

    @area.put("/projects/<project>/settings")
    @requires(Permission.ADMIN)
    @describes("Set all of a project's settings", body=ProjectSettings, answer=Settings)
    def put_settings(project: str) -> Response:
        made = services()
        days = bodies.read(ProjectSettings).retention_days
        settings.change(made, actor(), project, retention_days=days)
        return jsonify(settings_json(made, project))
