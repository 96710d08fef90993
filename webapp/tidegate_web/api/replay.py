"""Replaying a run: a new one from the spec that is stored, whether the old one is still in the cluster or not."""

from tidegate_api.again import labels_again, spec_again

from tidegate_web.api import bodies
from tidegate_web.api.bodies import NewRun
from tidegate_web.api.creating import RequestedRun
from tidegate_web.api.run_bodies import ReplayRequest
from tidegate_web.store.models import AnyRow
from tidegate_web.store.records import NOT_STORED, is_stored_whole


def replayed(row: AnyRow, wish: ReplayRequest) -> RequestedRun:
    """The run that does the same again; at most its name and payload may be chosen."""
    spec = spec_again(row.spec)
    for field, value in spec.items():
        if not is_stored_whole(value) and field not in wish.model_fields_set:
            raise bodies.invalid(field, f"the archive has not stored it: {value[NOT_STORED]}")
    if "payload" in wish.model_fields_set:
        bodies.check_payload(wish.payload)
        spec["payload"] = wish.payload
    labels = labels_again(row.labels)
    return RequestedRun(run=NewRun(name=wish.name or bodies.generated_name(spec), labels=labels, spec=spec))
