"""Webhooks over HTTP: made with a secret that is shown once, changed, tried, and their deliveries looked at and replayed."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import NewWebhook, WebhookChange
from tidegate_web.api.parameters import BEFORE_ID, LIMIT
from tidegate_web.api.response_types import Items, Page
from tidegate_web.api.response_types_people import Delivery, NewWebhookAnswer, Secret, Webhook
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries import webhooks
from tidegate_web.store.queries.webhooks import DeliveryRow, WebhookRow
from tidegate_web.webhooks.addresses import BadUrlError, check_url
from tidegate_web.webhooks.signing import new_secret

MOST = 50
"""Webhooks of a project."""


def webhook_json(row: WebhookRow) -> Webhook:
    return {
        "id": row.id,
        "url": row.url,
        "phases": row.phases,
        "tasks": row.tasks,
        "createdAt": rfc3339(row.created),
        "createdBy": row.created_by,
        "disabled": row.disabled_at is not None,
        "disabledReason": row.disabled_reason,
    }


def delivery_json(row: DeliveryRow) -> Delivery:
    return {
        "id": row.id,
        "run": row.run_uid,
        "payload": row.payload,
        "state": row.state,
        "attempts": row.attempts,
        "nextAttemptAt": rfc3339(row.next_at) if row.state == "pending" else None,
        "lastAttemptAt": rfc3339(row.last_at),
        "lastStatus": row.last_status,
        "lastError": row.last_error,
        "createdAt": rfc3339(row.created),
    }


def _check(made: Services, url: str) -> None:
    try:
        check_url(url, allowed=made.settings.webhook_networks)
    except BadUrlError as error:
        raise invalid("url", str(error)) from None


def _no_webhook() -> Problem:
    return Problem(404, "There is no such webhook.")


def find(made: Services, project: str, webhook_id: int) -> WebhookRow:
    with made.engine.connect() as connection:
        row = webhooks.find(connection, project=project, webhook_id=webhook_id)
    if row is None:
        raise _no_webhook()
    return row


def create(made: Services, project: str, new: NewWebhook) -> tuple[WebhookRow, str]:
    """A new webhook, and its secret, which nobody can tell again."""
    require_project(made, project, to_write=True)
    _check(made, new.url)
    secret = new_secret()
    with audited(made, actor(), "webhook.create", project=project, target=new.url), made.engine.begin() as connection:
        if len(webhooks.listed(connection, project=project)) >= MOST:
            raise Problem(409, f"A project has at most {MOST} webhooks.")
        row = webhooks.create(
            connection,
            project=project,
            url=new.url,
            secret=made.sealer.seal(secret),
            phases=new.phases,
            tasks=new.tasks,
            created_by=actor().name,
        )
    return row, secret


def change(made: Services, project: str, webhook_id: int, wanted: WebhookChange) -> WebhookRow:
    """Lead it elsewhere, ask for other runs, switch it off or on."""
    values = wanted.model_dump(include=wanted.model_fields_set & {"url", "phases", "tasks"})
    if values.get("url", "") is None:
        raise invalid("url", "must be a URL")
    if wanted.url is not None:
        _check(made, wanted.url)
    if wanted.disabled is not None:
        values["disabled_at"] = made.clock.now() if wanted.disabled else None
        values["disabled_reason"] = "Switched off." if wanted.disabled else None
    with (
        audited(made, actor(), "webhook.change", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        row = (
            webhooks.change(connection, project=project, webhook_id=webhook_id, values=values)
            if values
            else webhooks.find(connection, project=project, webhook_id=webhook_id)
        )
        if row is None:
            raise _no_webhook()
        return row


def rotate(made: Services, project: str, webhook_id: int) -> str:
    """Another secret; what is sent from now on is signed with it."""
    secret = new_secret()
    values = {"secret": made.sealer.seal(secret)}
    with (
        audited(made, actor(), "webhook.rotate-secret", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        if webhooks.change(connection, project=project, webhook_id=webhook_id, values=values) is None:
            raise _no_webhook()
    return secret


def remove(made: Services, project: str, webhook_id: int) -> None:
    with (
        audited(made, actor(), "webhook.remove", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        if not webhooks.remove(connection, project=project, webhook_id=webhook_id):
            raise _no_webhook()


def send_test(made: Services, project: str, webhook_id: int) -> DeliveryRow:
    """Have a delivery sent that tells of nothing."""
    find(made, project, webhook_id)
    at = rfc3339(made.clock.now())
    assert at is not None
    with (
        audited(made, actor(), "webhook.test", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        return webhooks.add_test(connection, webhook_id=webhook_id, at=at)


def replay(made: Services, project: str, webhook_id: int, delivery_id: int) -> DeliveryRow:
    """Have a delivery sent once more."""
    find(made, project, webhook_id)
    with (
        audited(made, actor(), "webhook.replay", project=project, target=str(delivery_id)),
        made.engine.begin() as connection,
    ):
        row = webhooks.replay(connection, webhook_id=webhook_id, delivery_id=delivery_id)
        if row is None:
            raise Problem(404, "There is no such delivery.")
        return row


def add_routes(area: Blueprint) -> None:
    """The routes of webhooks."""

    @area.get("/projects/<project>/webhooks")
    @requires(Permission.ADMIN)
    @describes("List webhooks", answer=Items[Webhook])
    def list_webhooks(project: str) -> Response:
        with services().engine.connect() as connection:
            rows = webhooks.listed(connection, project=project)
        found: Items[Webhook] = {"items": [webhook_json(row) for row in rows]}
        return jsonify(found)

    @area.post("/projects/<project>/webhooks")
    @requires(Permission.ADMIN)
    @describes(
        "Make a webhook; its secret is shown once",
        name="create_webhook",
        body=NewWebhook,
        answer=NewWebhookAnswer,
        status=201,
        headers=("Location",),
        problems=(409,),
    )
    def new_webhook(project: str) -> tuple[Response, int]:
        row, secret = create(services(), project, bodies.read(NewWebhook))
        answer: NewWebhookAnswer = {**webhook_json(row), "secret": secret}
        response = jsonify(answer)
        response.headers["Location"] = f"/api/v1/projects/{project}/webhooks/{row.id}"
        return response, 201

    @area.get("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Look at a webhook", answer=Webhook)
    def get_webhook(project: str, webhook: int) -> Response:
        return jsonify(webhook_json(find(services(), project, webhook)))

    @area.patch("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Change a webhook", body=WebhookChange, answer=Webhook)
    def patch_webhook(project: str, webhook: int) -> Response:
        return jsonify(webhook_json(change(services(), project, webhook, bodies.read(WebhookChange))))

    @area.delete("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Delete a webhook", status=204)
    def delete_webhook(project: str, webhook: int) -> tuple[str, int]:
        remove(services(), project, webhook)
        return "", 204

    @area.post("/projects/<project>/webhooks/<id:webhook>:rotate-secret")
    @requires(Permission.ADMIN)
    @describes("Give a webhook another secret", answer=Secret)
    def rotate_secret(project: str, webhook: int) -> Response:
        answer: Secret = {"secret": rotate(services(), project, webhook)}
        return jsonify(answer)

    @area.post("/projects/<project>/webhooks/<id:webhook>:test")
    @requires(Permission.ADMIN)
    @describes("Send a webhook something that tells of nothing", answer=Delivery, status=202)
    def test_webhook(project: str, webhook: int) -> tuple[Response, int]:
        return jsonify(delivery_json(send_test(services(), project, webhook))), 202

    @area.get("/projects/<project>/webhooks/<id:webhook>/deliveries")
    @requires(Permission.ADMIN)
    @describes("List deliveries, newest first", parameters=[LIMIT, BEFORE_ID], answer=Page[Delivery])
    def list_deliveries(project: str, webhook: int) -> Response:
        made = services()
        find(made, project, webhook)
        limit, before = LIMIT.asked(), BEFORE_ID.asked()
        with made.engine.connect() as connection:
            rows = webhooks.deliveries(connection, webhook_id=webhook, before=before, limit=limit + 1)
        piece, last = cut(rows, limit)
        page: Page[Delivery] = {
            "items": [delivery_json(row) for row in piece],
            "after": None if last is None else str(last.id),
        }
        return jsonify(page)

    @area.post("/projects/<project>/webhooks/<id:webhook>/deliveries/<id:delivery>:replay")
    @requires(Permission.ADMIN)
    @describes("Send a delivery once more", answer=Delivery, status=202)
    def replay_delivery(project: str, webhook: int, delivery: int) -> tuple[Response, int]:
        return jsonify(delivery_json(replay(services(), project, webhook, delivery))), 202
