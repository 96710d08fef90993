"""Webhooks over HTTP: made with a secret that is shown once, changed, tried, and their deliveries looked at and replayed."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import NewWebhook, WebhookChange
from tidegate_web.api.parameters import BEFORE_ID, LIMIT
from tidegate_web.api.response_types import Items, Page
from tidegate_web.api.response_types_people import Delivery, NewWebhookAnswer, Secret, Webhook
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.webhooks import DeliveryRow, WebhookRow
from tidegate_web.webhooks import actions as webhooks
from tidegate_web.webhooks.actions import WebhookValues


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


def values_of(body: WebhookChange) -> WebhookValues:
    """What a body changes of a webhook."""
    values: WebhookValues = {}
    if "url" in body.model_fields_set:
        values["url"] = body.url
    if "phases" in body.model_fields_set:
        values["phases"] = body.phases
    if "tasks" in body.model_fields_set:
        values["tasks"] = body.tasks
    return values


def add_routes(area: Blueprint) -> None:
    """The routes of webhooks."""

    @area.get("/projects/<project>/webhooks")
    @requires(Permission.ADMIN)
    @describes("List webhooks", answer=Items[Webhook])
    def list_webhooks(project: str) -> Response:
        rows = webhooks.listed(services(), project)
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
        new = bodies.read(NewWebhook)
        row, secret = webhooks.create(services(), actor(), project, url=new.url, phases=new.phases, tasks=new.tasks)
        answer: NewWebhookAnswer = {**webhook_json(row), "secret": secret}
        response = jsonify(answer)
        response.headers["Location"] = f"/api/v1/projects/{project}/webhooks/{row.id}"
        return response, 201

    @area.get("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Look at a webhook", answer=Webhook)
    def get_webhook(project: str, webhook: int) -> Response:
        return jsonify(webhook_json(webhooks.find(services(), project, webhook)))

    @area.patch("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Change a webhook", body=WebhookChange, answer=Webhook)
    def patch_webhook(project: str, webhook: int) -> Response:
        body = bodies.read(WebhookChange)
        row = webhooks.change(services(), actor(), project, webhook, values_of(body), disabled=body.disabled)
        return jsonify(webhook_json(row))

    @area.delete("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    @describes("Delete a webhook", status=204)
    def delete_webhook(project: str, webhook: int) -> tuple[str, int]:
        webhooks.remove(services(), actor(), project, webhook)
        return "", 204

    @area.post("/projects/<project>/webhooks/<id:webhook>:rotate-secret")
    @requires(Permission.ADMIN)
    @describes("Give a webhook another secret", answer=Secret)
    def rotate_secret(project: str, webhook: int) -> Response:
        answer: Secret = {"secret": webhooks.rotate_secret(services(), actor(), project, webhook)}
        return jsonify(answer)

    @area.post("/projects/<project>/webhooks/<id:webhook>:test")
    @requires(Permission.ADMIN)
    @describes("Send a webhook a test delivery", answer=Delivery, status=202)
    def test_webhook(project: str, webhook: int) -> tuple[Response, int]:
        return jsonify(delivery_json(webhooks.send_test(services(), actor(), project, webhook))), 202

    @area.get("/projects/<project>/webhooks/<id:webhook>/deliveries")
    @requires(Permission.ADMIN)
    @describes("List deliveries, newest first", parameters=[LIMIT, BEFORE_ID], answer=Page[Delivery])
    def list_deliveries(project: str, webhook: int) -> Response:
        found = webhooks.find(services(), project, webhook)
        limit, before = LIMIT.asked(), BEFORE_ID.asked()
        rows = webhooks.deliveries(services(), found, before=before, limit=limit + 1)
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
        return jsonify(delivery_json(webhooks.replay(services(), actor(), project, webhook, delivery))), 202
