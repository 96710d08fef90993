"""What a patch makes of an object, by merging and by operations, as the apiserver in memory carries it out."""

import json
from typing import Any, Final

Json = dict[str, Any]
MERGE: Final = "application/merge-patch+json"
OPERATIONS: Final = "application/json-patch+json"


def patched(before: Json, asked: Any, *, how: str | None) -> Json:
    """The object after it. `how`: the content type of the patch."""
    after: Json = json.loads(json.dumps(before))
    if how == MERGE:
        merged: Json = _merged(after, asked)
        return merged
    assert how == OPERATIONS, how
    for operation in asked:
        target, last = _target(after, operation["path"])
        if operation["op"] == "move":
            source, key = _target(after, operation["from"])
            target[last] = source.pop(key)
            continue
        assert operation["op"] in ("add", "replace"), operation
        target[last] = operation["value"]  # `replace` of what isn't there adds it
    return after


def _target(body: Json, path: str) -> tuple[Json, str]:
    *parents, last = path.strip("/").split("/")
    for key in parents:
        body = body[key]
    return body, last


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made
