"""Forms of pages: what they send is bounded and checked here, and what is wrong is shown on the page that sent it."""

import json
from collections.abc import Callable
from datetime import datetime

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.runs.create import CreatedRun
from tidegate_web.shared import json_text, unstorable
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
    if json_text.is_too_deep(sent):
        raise invalid(name, f"is nested deeper than {json_text.MOST_DEPTH} levels")
    try:
        found: object = json.loads(sent or "{}", parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise invalid(name, f"must be JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise invalid(name, f"must be JSON: {error}") from None
    unstorable.check_json(sent, found)
    if not is_object(found):
        raise invalid(name, "must be a JSON object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


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
