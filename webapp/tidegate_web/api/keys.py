"""API keys over HTTP: made, listed without their secret, taken over, revoked."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.members import role_named
from tidegate_web.api.models import NewApiKey
from tidegate_web.api.response_types import Items
from tidegate_web.api.response_types_people import ApiKey, NewApiKeyAnswer, OwnedApiKey, ProjectApiKey
from tidegate_web.auth.guard import actor
from tidegate_web.auth.tokens import KEY_PREFIX, shown_prefix
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text
from tidegate_web.projects import api_keys
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.keys import KeyRow, OwnedKeyRow

PREFIX = Text(name="prefix", description="How the key begins; a whole key may be given.")


def key_json(row: KeyRow) -> ApiKey:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "role": Role(row.role).label,
        "tasks": row.tasks,
        "createdAt": rfc3339(row.created),
        "createdBy": row.created_by,
        "expiresAt": rfc3339(row.expires),
        "lastUsedAt": rfc3339(row.last_used),
    }


def owned_key_json(row: OwnedKeyRow) -> OwnedApiKey:
    return {**key_json(row), "project": row.project}


def create_key(made: Services, project: str, new: NewApiKey) -> tuple[KeyRow, str]:
    """The key that a body asks for, and its secret."""
    return api_keys.create(
        made,
        actor(),
        project,
        name=new.name,
        role=role_named(new.role),
        tasks=new.tasks,
        expires=new.expires_at,
    )


def wanted_prefix() -> str | None:
    """The ``prefix`` asked for; a whole key may be given, of which no more than its beginning is looked for."""
    text = PREFIX.asked()
    if not text:
        return None
    return shown_prefix(text if text.startswith(KEY_PREFIX) else KEY_PREFIX + text)


def add_routes(area: Blueprint) -> None:
    """The routes of API keys."""

    @area.get("/projects/<project>/api-keys")
    @requires(Permission.ADMIN)
    @describes("List API keys, without their secret", parameters=[PREFIX], answer=Items[ProjectApiKey])
    def list_api_keys(project: str) -> Response:
        rows = api_keys.listed(services(), project, prefix=wanted_prefix())
        found: Items[ProjectApiKey] = {"items": [{**key_json(row), "active": row.active} for row in rows]}
        return jsonify(found)

    @area.post("/projects/<project>/api-keys")
    @requires(Permission.ADMIN)
    @describes(
        "Make an API key; it is shown once", name="create_api_key", body=NewApiKey, answer=NewApiKeyAnswer, status=201
    )
    def new_key(project: str) -> tuple[Response, int]:
        row, key = create_key(services(), project, bodies.read(NewApiKey))
        answer: NewApiKeyAnswer = {**key_json(row), "key": key}
        return jsonify(answer), 201

    @area.post("/projects/<project>/api-keys/<id:key>:take-over")
    @requires(Permission.ADMIN)
    @describes("Answer for an API key from now on, instead of its owner", name="take_over_api_key", answer=ApiKey)
    def take_key_over(project: str, key: int) -> Response:
        return jsonify(key_json(api_keys.take_over(services(), actor(), project, key)))

    @area.delete("/projects/<project>/api-keys/<id:key>")
    @requires(Permission.ADMIN)
    @describes("Revoke an API key", name="delete_api_key", status=204)
    def delete_key(project: str, key: int) -> tuple[str, int]:
        api_keys.revoke(services(), actor(), project, key)
        return "", 204
