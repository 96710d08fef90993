"""Replaying a run: a new one from the spec that is stored, whether the old one is still in the cluster or not."""

from collections.abc import Mapping

from tidegate_api.replay import replayed_labels, replayed_spec

from tidegate_web.runs.create import RequestedRun
from tidegate_web.runs.new_run import NewRun, check_payload, generated_name
from tidegate_web.shared.problems import invalid
from tidegate_web.store.records import NOT_STORED, is_stored_whole
from tidegate_web.store.run_rows import RunRow


def replayed(row: RunRow, *, name: str | None = None, payload: Mapping[str, object] | None = None) -> RequestedRun:
    """The run that does the same again. `name` and `payload`: another one than the old run had."""
    spec = replayed_spec(row.spec)
    for field, value in spec.items():
        if not is_stored_whole(value) and (field != "payload" or payload is None):
            raise invalid(field, f"the archive has not stored it: {value[NOT_STORED]}")
    if payload is not None:
        check_payload(payload)
        spec["payload"] = payload
    labels = replayed_labels(row.labels)
    return RequestedRun(run=NewRun(name=name or generated_name(spec), labels=labels, spec=spec))
