"""API keys over HTTP: made, listed without their secret, taken over, revoked."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import NewApiKey
from tidegate_web.api.response_types import Items
from tidegate_web.api.response_types_people import ApiKey, NewApiKeyAnswer, OwnedApiKey, ProjectApiKey
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor, caller, check_lasting, check_still_good
from tidegate_web.auth.tokens import KEY_PREFIX, new_api_key, shown_prefix, token_hash
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries import keys
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
    """A new key: what is kept of it, and the key itself, which nobody can tell again."""
    require_project(made, project, to_write=True)
    asks = caller()
    assert asks is not None
    if new.expires_at is not None and new.expires_at <= made.clock.now():
        raise invalid("expiresAt", "must be in the future")
    ends = new.expires_at
    if asks.expires is not None:
        if ends is not None and ends > asks.expires:
            raise invalid("expiresAt", "must not be after the end of the key that makes this one")
        ends = ends or asks.expires
    role, key = Role.named(new.role), new_api_key()
    assert role is not None
    detail = {"name": new.name, "role": role.label, "tasks": new.tasks}
    with (
        audited(made, actor(), "api-key.create", project=project, target=shown_prefix(key), detail=detail),
        made.engine.begin() as connection,
    ):
        row = keys.create(
            connection,
            project=project,
            name=new.name,
            prefix=shown_prefix(key),
            key_hash=token_hash(key),
            role=int(role),
            tasks=new.tasks,
            created_by=actor().name,
            owner_id=asks.answers,
            expires=ends,
        )
        check_still_good(connection)
    return row, key


def revoke_key(made: Services, project: str, key_id: int) -> None:
    """End a key; what it is used for gets 401 from now on."""
    with audited(made, actor(), "api-key.revoke", project=project, target=str(key_id)):
        with made.engine.begin() as connection:
            row = keys.revoke(connection, project=project, key_id=key_id, now=made.clock.now())
        if row is None:
            raise Problem(404, "There is no such key.")
        made.callers.forget(row.key_hash)


def take_over(made: Services, project: str, key_id: int) -> KeyRow:
    """Become the user who answers for a key. It goes on when the one who made it has left the project."""
    require_project(made, project, to_write=True)
    asks = caller()
    assert asks is not None
    with (
        audited(made, actor(), "api-key.hand-over", project=project, target=str(key_id)),
        made.engine.begin() as connection,
    ):
        row = keys.take_over(connection, project=project, key_id=key_id, owner_id=asks.answers)
        if row is None:
            raise Problem(404, "There is no such key.")
        check_still_good(connection)
    return row


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
        with services().engine.connect() as connection:
            rows = keys.listed(connection, project=project, now=services().clock.now(), prefix=wanted_prefix())
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
        check_lasting("answer for a key")
        return jsonify(key_json(take_over(services(), project, key)))

    @area.delete("/projects/<project>/api-keys/<id:key>")
    @requires(Permission.ADMIN)
    @describes("Revoke an API key", name="delete_api_key", status=204)
    def delete_key(project: str, key: int) -> tuple[str, int]:
        revoke_key(services(), project, key)
        return "", 204
