"""What comes in: JSON, or a clear refusal (400, 413, 415, 422)."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from tidegate_web.shared import json_text, unstorable
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import FieldError, Problem, invalid

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""No request is larger, whatever it is for."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read(limit: int) -> bytes:
    """The request's body, when it says that it is JSON and isn't larger than ``limit`` bytes."""
    if request.mimetype != "application/json":
        raise Problem(415, "Send application/json.", headers={"Accept": "application/json"})
    if request.content_length is not None and request.content_length > limit:
        raise Problem(413, f"The body is larger than {limit} bytes.")
    pieces, size = [], 0
    # A stream may give less than it is asked for, of a chunked body each chunk by itself.
    while piece := request.stream.read(limit + 1 - size):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise Problem(413, f"The body is larger than {limit} bytes.")
    return b"".join(pieces)


def json_object(*, limit: int = MAX_BODY_BYTES, nul_too: bool = False) -> JsonObject:
    """The request's body, which must be one JSON object. ``nul_too``: also one with NUL, which the caller replaces: a pod's work
    isn't lost for it."""
    text = _text(_read(limit))
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise malformed() from None
    unstorable.check_json(text, body, nul_too=nul_too)
    if not isinstance(body, dict):
        raise invalid("", "must be a JSON object")
    return body


def malformed() -> Problem:
    """The body isn't JSON."""
    return Problem(400, "The body is not well-formed JSON.")


def _text(data: bytes) -> str:
    """A body's text, which may be JSON: 400 for what isn't UTF-8, 422 for what is too deep to be looked at."""
    try:
        text = data.decode("utf-8")
    except ValueError:
        raise malformed() from None
    if json_text.is_too_deep(text):
        try:
            json_text.decode(text)
        except ValueError:
            raise malformed() from None
        raise Problem(422, f"The body is nested deeper than {json_text.MOST_DEPTH} levels.")
    return text


def optional_object() -> JsonObject:
    """The same, empty when there is no body."""
    return {} if request.content_length in (None, 0) and not request.mimetype else json_object()


def read(model: type[M], *, nul_too: bool = False) -> M:
    """The request's body as one of the models; 422 with everything that is wrong about it."""
    return validated(model, json_object(nul_too=nul_too))


def read_optional(model: type[M]) -> M:
    """The same for calls that need no body: without one it is empty."""
    return validated(model, optional_object())


def validated(model: type[M], body: Mapping[str, object]) -> M:
    """A body as one of the models, wherever it comes from."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        errors: list[FieldError] = [
            {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"].removeprefix("Value error, ")}
            for item in error.errors(include_input=False, include_url=False)
        ]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:5])
        raise Problem(422, detail, errors=errors) from None


def json_document(*, limit: int, parsing: AbstractContextManager[object] | None = None) -> bytes:
    """The request's body as it came, which must be JSON of any kind. ``parsing`` is held while it is looked at."""
    data = _read(limit)
    try:
        with parsing or nullcontext():
            # Only whether it is well-formed: a number of a million digits isn't worth the work of making it one.
            json.loads(_text(data), parse_constant=_no_constant, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        raise malformed() from None
    return data
