"""Replaying a run: a new one from the spec that is stored, whether the old one is still in the cluster or not."""

from tidegate_web.api import bodies
from tidegate_web.api.bodies import RESERVED_LABELS, NewRun
from tidegate_web.api.creating import Wanted
from tidegate_web.api.run_bodies import ReplayRequest
from tidegate_web.store.models import AnyRow

OF_THE_OLD_RUN = frozenset({"cancel", "startAfter", "idempotencyKey", "suspend"})
"""What was about that run and not about what it does."""


def replayed(row: AnyRow, wish: ReplayRequest) -> Wanted:
    """The run that does the same again; at most its name and payload may be chosen."""
    spec = {field: value for field, value in row.spec.items() if field not in OF_THE_OLD_RUN}
    if "payload" in wish.model_fields_set:
        bodies.check_payload(wish.payload)
        spec["payload"] = wish.payload
    labels = {name: value for name, value in row.labels.items() if not name.startswith(RESERVED_LABELS)}
    return Wanted(run=NewRun(name=wish.name or bodies.generated_name(spec), labels=labels, spec=spec))
