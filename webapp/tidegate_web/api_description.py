"""The description over HTTP, without sign-in: it names routes, and no data."""

from functools import cache

from flask import Blueprint, Flask, Response, jsonify

from tidegate_web.api import views as api_views
from tidegate_web.internal import views as internal_views
from tidegate_web.live import views as live_views
from tidegate_web.openapi.document import document
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.schemas import Schema
from tidegate_web.serving.routing import add_converters
from tidegate_web.shared.permissions import Permission, requires


def blueprint() -> Blueprint:
    """The one route."""
    area = Blueprint("openapi", __name__, url_prefix="/api/v1")
    made = cache(description)

    @area.get("/openapi.json")
    @requires(Permission.PUBLIC)
    @describes("This description", answer=dict[str, object])
    def get_description() -> Response:
        return jsonify(made())

    return area


def description() -> Schema:
    """The description of all areas, also by a process that serves only some of them."""
    app = Flask("tidegate_web", static_folder=None)
    add_converters(app)
    for area in (api_views, internal_views, live_views):
        app.register_blueprint(area.blueprint())
    app.register_blueprint(blueprint())
    return document(app.url_map.iter_rules(), app.view_functions)
