"""What comes in: JSON or a clear refusal (400, 413, 415, 422), and what a new run may look like."""

import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from tidegate_api.again import RESERVED_LABELS
from tidegate_api.run_names import new_name

from tidegate_web.api.bounds import check_bounds
from tidegate_web.shared import json_text, unstorable
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import FieldError, Problem

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""No request is larger, whatever it is for."""
MAX_PAYLOAD_BYTES = 128 * 1024
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


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


def json_object(*, limit: int = MAX_BODY_BYTES, nul_too: bool = False) -> dict[str, Any]:
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


def optional_object() -> dict[str, Any]:
    """The same, empty when there is no body."""
    return {} if request.content_length in (None, 0) and not request.mimetype else json_object()


def read(model: type[M], *, nul_too: bool = False) -> M:
    """The request's body as one of the models; 422 with everything that is wrong about it."""
    return validated(model, json_object(nul_too=nul_too))


def read_optional(model: type[M]) -> M:
    """The same for calls that need no body: without one it is empty."""
    return validated(model, optional_object())


def validated(model: type[M], body: Mapping[str, Any]) -> M:
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


def invalid(field: str, message: str) -> Problem:
    """One thing that is wrong with the body."""
    detail = f"{field}: {message}" if field else f"The body {message}."
    return Problem(422, detail, errors=[{"field": field, "message": message}])


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run as asked for: the rest of ``spec`` is checked by the apiserver, whose schema is the contract."""

    name: str
    labels: dict[str, str]
    spec: dict[str, Any]
    annotations: dict[str, str] = field(default_factory=dict)

    def manifest(self, *, project: str, requested_by: str) -> dict[str, Any]:
        return {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "TaskRun",
            "metadata": {
                "name": self.name,
                "namespace": project,
                "labels": self.labels,
                "annotations": self.annotations | {"tidegate.dev/requested-by": requested_by},
            },
            "spec": self.spec,
        }


def new_run(body: Mapping[str, Any]) -> NewRun:
    """Take ``name`` and ``labels`` out of the body; what is left is the spec."""
    spec = {key: value for key, value in body.items() if key not in ("name", "labels")}
    check_payload(spec.get("payload", {}))
    check_bounds(spec)
    name = body.get("name")
    if name is None:
        name = generated_name(spec)
    else:
        check_name(name)
    return NewRun(name=name, labels=check_labels(body.get("labels", {})), spec=spec)


def check_payload(payload: object) -> None:
    """422 for what isn't an object, 413 for one that is too large."""
    if not isinstance(payload, dict):
        raise invalid("payload", "must be a JSON object")
    try:
        size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        raise invalid("payload", "has text that isn't valid Unicode") from None
    if size > MAX_PAYLOAD_BYTES:
        raise Problem(413, f"The payload is larger than {MAX_PAYLOAD_BYTES} bytes.")


def check_name(name: object) -> None:
    """422 for what Kubernetes wouldn't take as a name."""
    if not isinstance(name, str) or not is_dns_label(name):
        raise invalid("name", "must be a DNS label: at most 63 of a-z, 0-9 and -, beginning and ending with a-z or 0-9")


def generated_name(spec: Mapping[str, Any]) -> str:
    """The name of a run that was sent without one."""
    reference = spec.get("taskRef")
    return new_name(reference.get("name") if isinstance(reference, dict) else None)


def check_labels(labels: object) -> dict[str, str]:
    """422 for what aren't labels, or are Tidegate's or Kubernetes' own."""
    if not isinstance(labels, dict):
        raise invalid("labels", "must be an object of strings")
    for key, value in labels.items():
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or not LABEL_KEY.fullmatch(key):
            raise invalid("labels", "must have Kubernetes label names, and label values as strings")
        if key.startswith(RESERVED_LABELS):
            raise invalid("labels", "may not use Tidegate's or Kubernetes' own prefixes")
    return labels


def is_text(value: str) -> bool:
    """Whether it is Unicode throughout: JSON can write half a character, which no store takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
