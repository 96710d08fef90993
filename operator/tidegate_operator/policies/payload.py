"""Which payloads a run may carry: at most 128 KiB as compact UTF-8, since it travels in a pod's annotation, and such as
match the task's schema.

The schema is read until attempt 1 starts, so a check holds for one version of it; which one is kept, not the schema.
"""

import json
from collections.abc import Mapping
from typing import Final

from tidegate_api.names import JSON_DEPTH_MAX, PAYLOAD_MAX_BYTES, Reason

from tidegate_operator import json_codec
from tidegate_operator.records.definitions import TaskRecord
from tidegate_operator.records.run import Cause, RunRecord

TOO_DEEP: Final = Cause(Reason.INVALID_PAYLOAD, f"the payload nests deeper than {JSON_DEPTH_MAX} levels")


def encode_payload(payload: Mapping[str, object]) -> str:
    """The payload as the pod gets it."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def refuse_payload(payload: Mapping[str, object]) -> Cause | None:
    """Why the payload can't be run, if so."""
    try:
        text = encode_payload(payload)
    except RecursionError:
        return TOO_DEEP
    if json_codec.is_deep(text):
        return TOO_DEEP
    size = len(text.encode("utf-8", "surrogatepass"))
    if size <= PAYLOAD_MAX_BYTES:
        return None
    return Cause(
        Reason.INVALID_PAYLOAD, f"the payload is {size} bytes as compact JSON; at most {PAYLOAD_MAX_BYTES} are taken"
    )


def schema_version(run: RunRecord, task: TaskRecord | None) -> str | None:
    """What names the schema that the run's payload has to match; None when there is none."""
    if run.task_ref is None:
        return run.uid if run.has_schema else None
    return f"{task.uid}/{task.version}" if task is not None and task.spec.get("payloadSchema") else None


def must_check(run: RunRecord, task: TaskRecord | None) -> bool:
    """Whether the payload has still to be checked before attempt 1."""
    version = schema_version(run, task)
    return version is not None and version != run.tracked.checked_for
