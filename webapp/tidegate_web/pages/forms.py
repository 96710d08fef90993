"""Forms of pages: what they send is bounded and checked here, and what is wrong is shown on the page that sent it."""

from collections.abc import Callable
from datetime import datetime

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.pages.schema_values import UnreadableError, read_json
from tidegate_web.runs.create import CreatedRun
from tidegate_web.shared import unstorable
from tidegate_web.shared.json_types import JsonObject, is_object
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.times import parse_given_time, rfc3339_seconds

Shown = JsonObject
"""What a page has to show beside what it always shows: an error, a secret, a link."""


def text(name: str) -> str:
    """A field, cut to what is sensible."""
    return request.form.get(name, "").replace("\x00", "")[:4000]


def number(name: str) -> int:
    """A row's number; 422 for anything else."""
    sent = request.form.get(name, "")
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 15):
        raise Problem(422, "The form is not one of ours.")
    return int(sent)


def json_object(name: str) -> JsonObject:
    """A field with a JSON object; 422 says at which line it is none."""
    sent = request.form.get(name, "")
    try:
        found = read_json(sent or "{}")
    except UnreadableError as error:
        raise invalid(name, str(error)) from None
    unstorable.check_json(sent, found)
    if not is_object(found):
        raise invalid(name, "must be a JSON object")
    return found


def utc_time(name: str) -> str:
    """A time of day that a browser's field sends, taken as UTC."""
    return rfc3339_seconds(read_utc(name, text(name)))


def read_utc(name: str, sent: str) -> datetime:
    """The same of any text; 422 for none."""
    sent = sent.strip()[:40]
    time = parse_given_time(f"{sent}:00Z" if sent.count(":") == 1 else f"{sent}Z")
    if time is None:
        raise invalid(name, "must be a date and a time between 1970 and 9998")
    return time


def start_run(
    project: str, start: Callable[[], CreatedRun], page: Callable[[Shown], str]
) -> Response | tuple[str, int]:
    """Start a run and lead to its page. What is refused is shown on the page that sent the form."""
    try:
        made = start()
    except Problem as problem:
        if problem.status >= 500 or problem.status == 404:
            raise
        return page({"error": problem.detail}), problem.status
    return redirect(url_for("pages.show_run", project=project, run=made.row.uid), code=303)


def carry_out(
    acts: dict[str, Callable[[], Shown | None]], page: Callable[[Shown], str], *, to: str | None = None
) -> Response | tuple[str, int]:
    """Do what the form's button says. Where something is to be shown, the page is the answer; else the way back to it (or
    ``to`` another), so that a reload does nothing again."""
    act = acts.get(text("act"))
    if act is None:
        raise Problem(422, "The form is not one of ours.")
    try:
        shown = act()
        return (page(shown), 200) if shown else redirect(to or request.path, code=303)
    except Problem as problem:
        if problem.status >= 500:
            raise
        return page({"error": problem.detail}), problem.status
