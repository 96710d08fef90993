"""Errors of the HTTP API as RFC 9457 ``application/problem+json``: one shape, never the input, never a trace."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NotRequired

from typing_extensions import TypedDict

MEDIA_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemBody(TypedDict):
    """An error after RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[FieldError]]


class Problem(Exception):  # noqa: N818 - it is one, whatever it is about
    """Raised anywhere in a request, answered as problem+json."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def as_json(self) -> ProblemBody:
        body: ProblemBody = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return body


def postgres_away() -> Problem:
    return Problem(503, "The database doesn't answer.", headers={"Retry-After": "5"})


def invalid(field: str, message: str) -> Problem:
    """One thing that is wrong with a body."""
    detail = f"{field}: {message}" if field else f"The body {message}."
    return Problem(422, detail, errors=[{"field": field, "message": message}])
