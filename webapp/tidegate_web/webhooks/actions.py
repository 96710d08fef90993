"""Webhooks of a project: created with a secret that is shown once, changed, tested, and their deliveries sent again."""

from collections.abc import Sequence
from typing import TypedDict

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries import webhooks
from tidegate_web.store.queries.webhooks import DeliveryRow, WebhookRow
from tidegate_web.webhooks.addresses import BadUrlError, check_url
from tidegate_web.webhooks.signing import new_secret

MOST = 50
"""Webhooks of a project."""


class WebhookValues(TypedDict, total=False):
    """What of a webhook changes; what isn't there stays."""

    url: str | None
    phases: list[str] | None
    tasks: list[str] | None


def listed(made: Services, project: str) -> list[WebhookRow]:
    """The webhooks of a project, oldest first."""
    with made.engine.connect() as connection:
        return webhooks.listed(connection, project=project)


def find(made: Services, project: str, webhook_id: int) -> WebhookRow:
    """One of them."""
    with made.engine.connect() as connection:
        row = webhooks.find(connection, project=project, webhook_id=webhook_id)
    if row is None:
        raise _no_webhook()
    return row


def deliveries(made: Services, webhook: WebhookRow, *, before: int, limit: int) -> list[DeliveryRow]:
    """What was sent to it, newest first."""
    with made.engine.connect() as connection:
        return webhooks.deliveries(connection, webhook_id=webhook.id, before=before, limit=limit)


def create(
    made: Services,
    actor: Actor,
    project: str,
    *,
    url: str,
    phases: Sequence[str] | None,
    tasks: Sequence[str] | None,
) -> tuple[WebhookRow, str]:
    """A new webhook, and its secret, which can't be shown again."""
    require_project(made, project, to_write=True)
    _check(made, url)
    secret = new_secret()
    with audited(made, actor, "webhook.create", project=project, target=url), made.engine.begin() as connection:
        if len(webhooks.listed(connection, project=project)) >= MOST:
            raise Problem(409, f"A project has at most {MOST} webhooks.")
        row = webhooks.create(
            connection,
            project=project,
            url=url,
            secret=made.auth.sealer.seal(secret),
            phases=phases,
            tasks=tasks,
            created_by=actor.name,
        )
    return row, secret


def change(
    made: Services,
    actor: Actor,
    project: str,
    webhook_id: int,
    wanted: WebhookValues,
    *,
    disabled: bool | None = None,
) -> WebhookRow:
    """Lead it elsewhere, ask for other runs, switch it off or on."""
    values: JsonObject = {**wanted}
    if "url" in wanted:
        if wanted["url"] is None:
            raise invalid("url", "must be a URL")
        _check(made, wanted["url"])
    if disabled is not None:
        values["disabled_at"] = made.clock.now() if disabled else None
        values["disabled_reason"] = "Switched off." if disabled else None
    with (
        audited(made, actor, "webhook.change", project=project, target=str(webhook_id)),
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


def rotate_secret(made: Services, actor: Actor, project: str, webhook_id: int) -> str:
    """Another secret; what is sent from now on is signed with it."""
    secret = new_secret()
    values = {"secret": made.auth.sealer.seal(secret)}
    with (
        audited(made, actor, "webhook.rotate-secret", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        if webhooks.change(connection, project=project, webhook_id=webhook_id, values=values) is None:
            raise _no_webhook()
    return secret


def remove(made: Services, actor: Actor, project: str, webhook_id: int) -> None:
    """Delete it, with its deliveries."""
    with (
        audited(made, actor, "webhook.remove", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        if not webhooks.remove(connection, project=project, webhook_id=webhook_id):
            raise _no_webhook()


def send_test(made: Services, actor: Actor, project: str, webhook_id: int) -> DeliveryRow:
    """Have a delivery sent that is about no run."""
    find(made, project, webhook_id)
    with (
        audited(made, actor, "webhook.test", project=project, target=str(webhook_id)),
        made.engine.begin() as connection,
    ):
        return webhooks.add_test(connection, webhook_id=webhook_id, at=rfc3339(made.clock.now()))


def replay(made: Services, actor: Actor, project: str, webhook_id: int, delivery_id: int) -> DeliveryRow:
    """Have a delivery sent once more."""
    find(made, project, webhook_id)
    with (
        audited(made, actor, "webhook.replay", project=project, target=str(delivery_id)),
        made.engine.begin() as connection,
    ):
        row = webhooks.replay(connection, webhook_id=webhook_id, delivery_id=delivery_id)
        if row is None:
            raise Problem(404, "There is no such delivery.")
        return row


def _check(made: Services, url: str) -> None:
    try:
        check_url(url, allowed=made.settings.webhook_networks)
    except BadUrlError as error:
        raise invalid("url", str(error)) from None


def _no_webhook() -> Problem:
    return Problem(404, "There is no such webhook.")
