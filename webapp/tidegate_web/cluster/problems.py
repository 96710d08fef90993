"""Refusals of the apiserver, as errors of the HTTP API."""

import re
from collections.abc import Callable

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.shared.problems import FieldError, Problem

_STRICT = re.compile(r'(unknown|duplicate) field "([^"]+)"')
_NO_FIELD = "<nil>"
"""What the apiserver calls the object as a whole."""
_NOT_LOOKED_AT = "some validation rules were not checked"
_NOTE = re.compile(rf',? ?{_NO_FIELD}: Invalid value: "[^"]*": {_NOT_LOOKED_AT}[^\],]*')
"""That it has not looked at everything is no mistake of the caller."""


def from_cluster(error: ClusterError, *, sent: Callable[[str], str] = str) -> Problem:
    """What the apiserver said, in the API's words: its refusals of an object are the caller's (422). ``sent`` says how a field of
    the object is called in the request."""
    errors: list[FieldError] = [
        {"field": "" if field == _NO_FIELD else sent(field), "message": message}
        for field, message in error.causes
        if _NOT_LOOKED_AT not in message
    ] or [{"field": sent(field), "message": f"{kind} field"} for kind, field in _STRICT.findall(error.message)]
    if error.unavailable:
        return Problem(503, "Kubernetes doesn't answer.", headers={"Retry-After": "5"})
    # 400 is how a strict apiserver names unknown fields.
    if error.status in (400, 422):
        return Problem(422, _NOTE.sub("", error.message).replace(f"{_NO_FIELD}: ", ""), errors=errors)
    if error.status == 403:
        return Problem(403, f"Kubernetes refuses this: {error.message}")
    if error.status in (404, 409, 413):
        return Problem(error.status, error.message)
    return Problem(502, f"Kubernetes answered {error.status}: {error.message}")


def field_of_run(field: str) -> str:
    """A TaskRun's field as a request for a run has it, whose body is the spec with name and labels."""
    for prefix in ("spec.", "metadata."):
        if field.startswith(prefix):
            return field.removeprefix(prefix)
    return "" if field in ("spec", "metadata") else field
