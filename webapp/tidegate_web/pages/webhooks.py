"""The pages of a project's webhooks and of what was sent to each."""

from collections.abc import Callable

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from tidegate_web.api import bodies
from tidegate_web.api.models import NewWebhook
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, carry_out, number, text
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.webhooks import actions as webhooks

PAGE = 50


def _list_page(project: str, shown: Shown) -> str:
    made = services()
    rows = webhooks.listed(made, project)
    return render_template(
        "webhooks.html", project=project, webhooks=rows, phases=TERMINAL_PHASES, now=made.clock.now(), **shown
    )


def _list_acts(made: Services, project: str) -> dict[str, Callable[[], Shown | None]]:
    def create() -> Shown:
        tasks = [task for task in text("tasks").replace(",", " ").split() if task]
        phases = [phase for phase in request.form.getlist("phase") if phase]
        wanted: JsonObject = {"url": text("url").strip(), "phases": phases or None, "tasks": tasks or None}
        new = bodies.validated(NewWebhook, wanted)
        row, secret = webhooks.create(made, actor(), project, url=new.url, phases=new.phases, tasks=new.tasks)
        return {"made": row, "secret": secret}

    return {"create": create}


def _one_page(project: str, webhook_id: int, shown: Shown) -> str:
    made = services()
    row = webhooks.find(made, project, webhook_id)
    after = request.args.get("after", "")
    before = int(after) if after.isascii() and after.isdecimal() and len(after) <= 15 else 2**62
    rows = webhooks.deliveries(made, row, before=before, limit=PAGE + 1)
    return render_template(
        "webhook.html",
        project=project,
        webhook=row,
        deliveries=rows[:PAGE],
        after=rows[PAGE - 1].id if len(rows) > PAGE else None,
        now=made.clock.now(),
        **shown,
    )


def _one_acts(made: Services, project: str, webhook_id: int) -> dict[str, Callable[[], Shown | None]]:
    def switch(*, disabled: bool) -> Callable[[], None]:
        def act() -> None:
            webhooks.change(made, actor(), project, webhook_id, {}, disabled=disabled)

        return act

    def test() -> None:
        webhooks.send_test(made, actor(), project, webhook_id)

    def replay() -> None:
        webhooks.replay(made, actor(), project, webhook_id, number("id"))

    return {
        "test": test,
        "replay": replay,
        "rotate": lambda: {"secret": webhooks.rotate_secret(made, actor(), project, webhook_id)},
        "off": switch(disabled=True),
        "on": switch(disabled=False),
    }


def add_routes(area: Blueprint) -> None:
    """The routes of these pages."""

    @area.get("/projects/<project>/webhooks")
    @requires(Permission.ADMIN)
    def webhooks_page(project: str) -> str:
        require_project(services(), project)
        return _list_page(project, {})

    @area.post("/projects/<project>/webhooks")
    @requires(Permission.ADMIN)
    def change_webhooks(project: str) -> Response | tuple[str, int]:
        return carry_out(_list_acts(services(), project), lambda shown: _list_page(project, shown))

    @area.get("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    def webhook_page(project: str, webhook: int) -> str:
        return _one_page(project, webhook, {})

    @area.post("/projects/<project>/webhooks/<id:webhook>")
    @requires(Permission.ADMIN)
    def change_webhook(project: str, webhook: int) -> Response | tuple[str, int]:
        made = services()
        webhooks.find(made, project, webhook)
        if text("act") == "remove":
            return carry_out(
                {"remove": lambda: webhooks.remove(made, actor(), project, webhook)},
                lambda shown: _list_page(project, shown),
                to=f"/projects/{project}/webhooks",
            )
        return carry_out(_one_acts(made, project, webhook), lambda shown: _one_page(project, webhook, shown))
