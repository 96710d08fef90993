"""A task's `podTemplate`, laid over the pod that Tidegate builds as a strategic merge patch would be.

The template is not in the CRD's schema (written out it is larger than what `kubectl apply` can annotate), so it may hold
anything. Nothing here judges it: what has no place in a pod is left where it stands, for the apiserver to refuse with its
own words when the Job is made.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tidegate_api.bodies import JsonObject

MERGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "evictionResponders": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "protocol"),
}
"""The lists of a pod that are merged item by item (patchStrategy and patchMergeKey in Kubernetes' core/v1 types).

Where the apiserver distinguishes items by a second field (listMapKey), that counts too. All other lists are replaced.
"""


def merge_template(pod: JsonObject, template: Mapping[str, object]) -> JsonObject:
    """The PodTemplateSpec `pod` with what `template` says. Neither is changed."""
    said = {field: value for field, value in template.items() if value is not None}
    spec = said.get("spec")
    if isinstance(spec, dict) and "containers" in spec and spec["containers"] is None:
        # Programs in Go write `containers: null` for none; elsewhere a null takes away what Tidegate would set.
        said["spec"] = {field: value for field, value in spec.items() if field != "containers"}
    return _merge_maps(pod, said)


def put_own(
    owner: JsonObject, field: str, own: list[JsonObject], *, key: str, same: Callable[[str], str] = str
) -> None:
    """Put items of ours first into a list, in place of those with the same key; `same` brings keys into one form."""
    others = owner.get(field)
    if others is None:
        others = []
    if isinstance(others, list):
        taken = {same(str(item[key])) for item in own}
        owner[field] = [*own, *(item for item in others if not _is_taken(item, key, taken, same))]


def _is_taken(item: object, key: str, taken: set[str], same: Callable[[str], str]) -> bool:
    if not isinstance(item, dict) or not isinstance(value := item.get(key), str):
        return False
    return same(value) in taken


def _merge_maps(ours: JsonObject, theirs: Mapping[str, object]) -> JsonObject:
    merged = dict(ours)
    for field, value in theirs.items():
        if value is None:
            merged.pop(field, None)
        else:
            merged[field] = _merge(field, merged.get(field), value)
    return merged


def _merge(field: str, ours: object, theirs: object) -> object:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return _merge_maps(ours, theirs)
    if field in MERGE_KEYS and isinstance(ours, list) and isinstance(theirs, list):
        return _merge_lists(ours, theirs, MERGE_KEYS[field])
    return theirs


def _merge_lists(ours: list[object], theirs: list[object], keys: tuple[str, ...]) -> list[object]:
    merged = list(ours)
    places = {key: place for place, item in enumerate(ours) if (key := _key(item, keys)) is not None}
    for item in theirs:
        key = _key(item, keys)
        # Each of ours is met once: a key that the template has twice is the apiserver's to refuse.
        place = places.pop(key, None) if key is not None else None
        before = merged[place] if place is not None else None
        if place is not None and isinstance(before, dict) and isinstance(item, dict):
            merged[place] = _merge_maps(before, item)
        else:
            merged.append(item)
    return merged


def _key(item: object, keys: tuple[str, ...]) -> tuple[str | int | None, ...] | None:
    """What distinguishes the item from others; None for what has no key, or one that can't be."""
    if not isinstance(item, dict) or item.get(keys[0]) is None:
        return None
    values = tuple(item.get(key) for key in keys)
    return values if all(isinstance(value, str | int | None) for value in values) else None
