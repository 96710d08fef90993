"""The TaskSpec that a Job carries: read from its annotation, named by its hash, and shown without secrets. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_api.names import TASK_SPEC_ANNOTATION
from tidegate_api.spec_hash import spec_hash

from tidegate_web import jsontext

HIDDEN = "(hidden)"
"""What stands for a literal value of the environment."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A spec as text, and the hash that `status.attempts[].specHash` names it by."""

    hash: str
    text: str


def spec_of_job(job: Mapping[str, Any]) -> TaskSpec | None:
    """What a Job was made with; None where its annotation is no JSON object, or is nested too deep."""
    text = ((job.get("metadata") or {}).get("annotations") or {}).get(TASK_SPEC_ANNOTATION)
    if not isinstance(text, str) or jsontext.is_too_deep(text):
        return None
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return encoded(spec) if isinstance(spec, dict) else None


def encoded(spec: Mapping[str, Any]) -> TaskSpec:
    """The hash is the operator's. The text is what of the spec Postgres stores."""
    return TaskSpec(hash=spec_hash(spec), text=jsontext.without_unstorable(json.dumps(spec, sort_keys=True)))


def shown(text: str, *, whole: bool) -> Any:
    """The spec of a text; unless ``whole``, without the literal values of the environment of any container in it."""
    return json.loads(text, object_hook=None if whole else _without_values)


def _without_values(part: dict[str, Any]) -> dict[str, Any]:
    env = part.get("env")
    if isinstance(env, list):
        part["env"] = [
            {**each, "value": HIDDEN} if isinstance(each, dict) and "value" in each else each for each in env
        ]
    return part
