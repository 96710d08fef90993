"""The TaskSpec that a Job carries: read from its annotation, named by its hash, and shown without secrets. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_api.names import TASK_SPEC_ANNOTATION
from tidegate_api.spec_hash import spec_hash

from tidegate_web.shared import json_text
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Role

HIDDEN = "(hidden)"
"""What stands for a literal value of the environment."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A spec as text, and the hash that `status.attempts[].specHash` names it by."""

    hash: str
    text: str


def spec_of_job(annotations: Mapping[str, str]) -> TaskSpec | None:
    """What a Job of these annotations was made with; None where that is no JSON object, or is nested too deep."""
    text = annotations.get(TASK_SPEC_ANNOTATION)
    if text is None or json_text.is_too_deep(text):
        return None
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return encoded(spec) if isinstance(spec, dict) else None


def encoded(spec: Mapping[str, object]) -> TaskSpec:
    """The hash is the operator's. The text is what of the spec Postgres stores."""
    return TaskSpec(hash=spec_hash(spec), text=json_text.without_unstorable(json.dumps(spec, sort_keys=True)))


def shown(text: str, *, whole: bool) -> object:
    """The spec of a text; unless ``whole``, without the literal values of the environment of any container in it."""
    return json.loads(text, object_hook=None if whole else _without_values)


def sees_values(role: Role | None) -> bool:
    """Whether a user of this role sees literal values of the environment. Viewers don't: people write passwords there."""
    return role is not None and role >= Role.OPERATOR


def run_spec_shown(spec: Mapping[str, object], *, whole: bool) -> JsonObject:
    """A TaskRun's spec; unless ``whole``, without those values in its own ``env`` and in its inline task. The payload stays."""
    if whole:
        return dict(spec)
    kept = {name: value for name, value in spec.items() if name not in ("env", "task")}
    return kept | {name: _hidden({name: spec[name]})[name] for name in ("env", "task") if name in spec}


def run_status_shown(status: Mapping[str, object], *, whole: bool) -> JsonObject:
    """A TaskRun's status; unless ``whole``, without those values in the TaskSpec that a run in a pool carries there."""
    frozen = {} if whole else {name: status[name] for name in ("resolvedTask",) if name in status}
    return {**status, **_hidden(frozen)}


def definition_spec_shown(spec: Mapping[str, object], *, whole: bool) -> JsonObject:
    """The same for the spec of a Task, Queue, Schedule or WorkerPool."""
    if whole:
        return dict(spec)
    template = spec.get("template")
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        return _hidden(spec)
    return {**spec, "template": {**template, "spec": run_spec_shown(template["spec"], whole=False)}}


def _hidden(part: Mapping[str, object]) -> JsonObject:
    """A copy without the values; of what is nested too deep to be read, its names alone."""
    try:
        copy: JsonObject = json.loads(json.dumps(part), object_hook=_without_values)
    except RecursionError:
        return dict.fromkeys(part, HIDDEN)
    return copy


def _without_values(part: JsonObject) -> JsonObject:
    env = part.get("env")
    if isinstance(env, list):
        part["env"] = [
            {**each, "value": HIDDEN} if isinstance(each, dict) and "value" in each else each for each in env
        ]
    return part
