"""The page on which developers write a Task, Queue, Schedule or WorkerPool as YAML: checked, compared, and then stored."""

from dataclasses import dataclass
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from tidegate_api.names import API_VERSION
from tidegate_api.replay import replayed_labels
from werkzeug.wrappers import Response

from tidegate_web.api import definitions as api
from tidegate_web.auth.guard import actor
from tidegate_web.cluster.definitions import KINDS, Kind
from tidegate_web.cluster.objects import KubeObject, labels_of
from tidegate_web.current_app import services
from tidegate_web.definitions import actions, editing
from tidegate_web.definitions.editing import MistakesError
from tidegate_web.pages import cron_words
from tidegate_web.pages.forms import Shown, text
from tidegate_web.pages.manifest import definition_manifest, draft_of_schedule
from tidegate_web.pages.payload_form import sent_payload, task_of
from tidegate_web.pages.text_diff import diff
from tidegate_web.projects.existing import require_project
from tidegate_web.shared.json_types import JsonObject, as_text
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem

ANY_KIND: Final = "<any(tasks, queues, schedules, pools):plural>"
MOST_CHARACTERS: Final = 500_000
PAGE_OF_ONE: Final = {
    "tasks": "pages.show_task",
    "queues": "pages.show_queue",
    "schedules": "pages.show_schedule",
    "pools": "pages.show_pool",
}

_TASK: Final = """\
  image: registry.example.com/app:1.0
  entrypoint: app.tasks:resize
  timeoutSeconds: 3600
  retry:
    maxAttempts: 3
"""
_QUEUE: Final = """\
  concurrencyLimit: 10
"""
_SCHEDULE: Final = """\
  cron: "30 2 * * MON-FRI"
  timeZone: UTC
  template:
    spec:
      taskRef:
        name: resize
"""
_POOL: Final = """\
  image: registry.example.com/app:1.0
  preload: [app.tasks]
  replicas: 1
  slots: 2
"""
NEW: Final = {"tasks": _TASK, "queues": _QUEUE, "schedules": _SCHEDULE, "pools": _POOL}
"""What a new one begins with."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What the form sent."""

    text: str
    seen: str
    """The version that was edited; empty for a new object."""


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get(f"/projects/<project>/{ANY_KIND}:new")
    @requires(Permission.DEVELOPER)
    def new_definition(project: str, plural: str) -> str:
        require_project(services(), project, to_write=True)
        return _page(project, plural, None, Draft(text=_begun(KINDS[plural], NEW[plural]), seen=""), {})

    @area.post(f"/projects/<project>/{ANY_KIND}:new")
    @requires(Permission.DEVELOPER)
    def create_definition(project: str, plural: str) -> Response | tuple[str, int]:
        return _act(project, plural, None)

    @area.post("/projects/<project>/tasks/<name>/schedule")
    @requires(Permission.DEVELOPER)
    def schedule_task(project: str, name: str) -> str:
        """A draft of a Schedule of a Task, with the payload of its form."""
        made = services()
        require_project(made, project, to_write=True)
        reference: JsonObject = {"taskRef": {"name": name}}
        payload = sent_payload(task_of(made, project, reference))
        begun = draft_of_schedule(project, reference | ({"payload": payload} if payload else {}))
        return _page(project, "schedules", None, Draft(text=begun, seen=""), {})

    @area.post(f"/projects/<project>/{ANY_KIND}:preview")
    @requires(Permission.DEVELOPER)
    def preview_definition(project: str, plural: str) -> str:
        """What can be said of a draft as one types, without the cluster: where it can't be read, and when its cron comes."""
        require_project(services(), project, to_write=True)
        return _preview(project, plural, text("name") or None)

    @area.get(f"/projects/<project>/{ANY_KIND}/<name>/edit")
    @requires(Permission.DEVELOPER)
    def edit_definition(project: str, plural: str, name: str) -> str:
        found = actions.get(services(), KINDS[plural], project, name)
        seen = found["metadata"]["resourceVersion"]
        return _page(project, plural, name, Draft(text=_written(KINDS[plural], found), seen=seen), {})

    @area.post(f"/projects/<project>/{ANY_KIND}/<name>/edit")
    @requires(Permission.DEVELOPER)
    def change_definition(project: str, plural: str, name: str) -> Response | tuple[str, int]:
        return _act(project, plural, name)


def _begun(kind: Kind, spec: str) -> str:
    return f"apiVersion: {API_VERSION}\nkind: {kind.name}\nmetadata:\n  name: \nspec:\n{spec}"


def _preview(project: str, plural: str, name: str | None) -> str:
    draft = _sent_draft()
    try:
        spec = editing.read_draft(KINDS[plural], project, draft.text, name=name)
    except MistakesError as error:
        return render_template("_draft_preview.html", mistakes=error.mistakes)
    cron, zone = as_text(spec.get("cron")), as_text(spec.get("timeZone")) or "UTC"
    now = services().clock.now()
    return render_template(
        "_draft_preview.html",
        mistakes=[],
        cron=cron if plural == "schedules" else None,
        words=cron_words.in_words(cron or ""),
        ticks=cron_words.next_ticks(cron or "", zone, now=now),
        now=now,
    )


def _sent_draft() -> Draft:
    draft = Draft(text=request.form.get("text", "").replace("\r\n", "\n"), seen=request.form.get("seen", "")[:20])
    if len(draft.text) > MOST_CHARACTERS:
        raise Problem(422, "The manifest is too long.")
    return draft


def _written(kind: Kind, found: KubeObject) -> str:
    return definition_manifest(kind.name, api.definition_shown(found))


def _act(project: str, plural: str, name: str | None) -> Response | tuple[str, int]:
    """Check what was written and show what it would change; or store it."""
    made, kind = services(), KINDS[plural]
    draft = _sent_draft()
    act = request.form.get("act")
    if act not in ("check", "save"):
        raise Problem(422, "The form is not one of ours.")
    try:
        if act == "save":
            saved = editing.save(made, actor(), kind, project, draft.text, name=name, seen=draft.seen)
            return redirect(place_of(project, plural, saved["metadata"]["name"]), code=303)
        checked = editing.check(made, actor(), kind, project, draft.text, name=name, seen=draft.seen)
        now = None if name is None else actions.get(made, kind, project, name)
    except MistakesError as error:
        return _page(project, plural, name, draft, {"mistakes": error.mistakes}), 422
    except Problem as problem:
        if problem.status >= 500 or problem.status == 404:
            raise
        return _page(project, plural, name, draft, {"error": problem.detail}), problem.status
    changes = diff({} if now is None else _compared(now), _compared(checked))
    return _page(project, plural, name, draft, {"checked": True, "changes": changes}), 200


def _compared(found: KubeObject) -> dict[str, object]:
    # Developers see all of it. What is not stored has no version, so it is no answer of the API.
    return {"labels": replayed_labels(labels_of(found)), "spec": found.get("spec") or {}}


def place_of(project: str, plural: str, name: str) -> str:
    """The page that shows it."""
    return url_for(PAGE_OF_ONE[plural], project=project, name=name)


def _page(project: str, plural: str, name: str | None, draft: Draft, shown: Shown) -> str:
    return render_template(
        "edit_definition.html",
        project=project,
        kind=KINDS[plural].name,
        plural=plural,
        list_page=f"pages.{plural}_page",
        name=name,
        place=None if name is None else place_of(project, plural, name),
        draft=draft,
        **shown,
    )
