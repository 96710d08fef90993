"""Forms of pages: what they send is bounded and checked here, and what is wrong is shown on the page that sent it."""

from collections.abc import Callable

from flask import redirect, request
from werkzeug.wrappers import Response

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem

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
