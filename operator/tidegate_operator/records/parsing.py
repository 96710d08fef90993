"""From Jobs and pods, as the apiserver gives them, to what the policies need of them."""

import json
import re
from collections.abc import Mapping
from typing import Final, cast

from tidegate_api.bodies import TaskSpecBody
from tidegate_api.names import TASK_CONTAINER, TASK_SPEC_ANNOTATION, TTL_SECONDS_MAX
from tidegate_api.objects import Condition, ContainerStatus, JobBody, ObjectMeta, PodBody, PodSpec, PodStatus
from tidegate_api.ownership import controller_of
from tidegate_api.times import parse_time

from tidegate_operator import json_codec
from tidegate_operator.records.attempt import PodRecord
from tidegate_operator.records.lenient import bounded, bounded_or
from tidegate_operator.records.run import CLOCK_SLACK, STOP_ANNOTATION, STOP_FLOOR_ANNOTATION, Cause, RunRecord

JOB_NAME: Final = re.compile(r".*-[0-9a-f]{8}-([0-9]{1,9})", re.ASCII)


NOT_YET: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons that say no more than: not yet."""
GRACE_SECONDS: Final = 30


def parse_pod(body: PodBody, *, job_uid: str, received: float) -> PodRecord:
    """A pod as the policies see it. `received`: when this state came in."""
    meta, status = body["metadata"], body.get("status") or {}
    container = next(
        (c for c in status.get("containerStatuses") or () if c["name"] == TASK_CONTAINER), ContainerStatus()
    )
    state = container.get("state") or {}
    terminated = state.get("terminated") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    disrupted = disruption.get("status") == "True"
    spec = body.get("spec") or {}
    exit_code = terminated.get("exitCode")
    annotations = meta.get("annotations") or {}
    accepted = parse_time(status.get("startTime"))
    return PodRecord(
        uid=meta["uid"],
        name=meta["name"],
        version=int(meta["resourceVersion"]),
        job_uid=job_uid,
        phase=status.get("phase") or "Pending",
        created=parse_time(meta.get("creationTimestamp")) or received,
        received=received,
        node=spec.get("nodeName"),
        reason=status.get("reason"),
        message=status.get("message"),
        started=parse_time(terminated.get("startedAt") or (state.get("running") or {}).get("startedAt")),
        finished=parse_time(terminated.get("finishedAt")),
        exit_code=exit_code,
        termination_reason=terminated.get("reason"),
        termination_message=terminated.get("message") or "",
        waiting=_waiting(status),
        others=_others(status),
        grace=bounded_or(GRACE_SECONDS, spec.get("terminationGracePeriodSeconds")),
        stop_asked=_stop_asked(meta, disruption.get("lastTransitionTime") if disrupted else None),
        deadline_at=_deadline_at(spec, status),
        accepted=accepted,
        accepted_seen=received if accepted is not None else None,
        stop_floor=_stop_floor(annotations.get(STOP_FLOOR_ANNOTATION)),
        image=container.get("image"),
        image_id=container.get("imageID") or None,
        scheduling_message=scheduled.get("message") if scheduled.get("status") == "False" else None,
        scheduled=parse_time(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        disrupted=disrupted,
        deleting="deletionTimestamp" in meta,
        unreachable=unreachable(conditions),
        stop_reason=annotations.get(STOP_ANNOTATION),
        containers=count_containers(spec),
        failed_before=_failed_before(status) if exit_code is None else None,
    )


def pod_in_doubt(meta: ObjectMeta, *, phase: object, job_uid: str, received: float) -> PodRecord:
    """In place of a pod that can't be parsed: whether it may still run has to be known all the same."""
    return PodRecord(
        uid=str(meta["uid"]),
        name=str(meta["name"]),
        version=int(meta["resourceVersion"]),
        job_uid=job_uid,
        phase=phase if phase in ("Pending", "Running", "Succeeded", "Failed") else "Unknown",
        created=received,
        received=received,
        deleting="deletionTimestamp" in meta,
    )


def _waiting(status: PodStatus) -> Cause | None:
    """What a container can't be started for: `task` first, then those before and beside it."""
    kinds = (
        ("container", status.get("containerStatuses")),
        ("init container", status.get("initContainerStatuses")),
    )
    found: Cause | None = None
    for kind, containers in kinds:
        for container in containers or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason = waiting.get("reason")
            if not reason or reason in NOT_YET:
                continue
            if container["name"] == TASK_CONTAINER:
                return Cause(reason, waiting.get("message") or reason)
            found = found or Cause(reason, f"{kind} {container['name']}: {waiting.get('message') or reason}")
    return found


def _others(status: PodStatus) -> str | None:
    """Ordinary containers beside `task` that have not ended, each with what it waits for."""
    found = []
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        if container["name"] == TASK_CONTAINER or "terminated" in state:
            continue
        waiting = state.get("waiting") or {}
        said = ": ".join(part for part in (waiting.get("reason"), waiting.get("message")) if part)
        found.append(f"{container['name']} ({said or 'running'})")
    return ", ".join(found) or None


def _stop_asked(meta: ObjectMeta, disrupted_at: str | None) -> float | None:
    # The deletion's timestamp is its end: the grace period lies before it.
    deleted = parse_time(meta.get("deletionTimestamp"))
    if deleted is not None:
        deleted -= bounded_or(0, meta.get("deletionGracePeriodSeconds"))
    times = [at for at in (deleted, parse_time(disrupted_at)) if at is not None]
    return min(times, default=None)


def _stop_floor(text: str | None) -> float | None:
    # Ours alone writes it, but anyone may edit a pod: what can't be read says nothing.
    try:
        return parse_time(text)
    except ValueError:
        return None


def _deadline_at(spec: PodSpec, status: PodStatus) -> float | None:
    began, seconds = (
        parse_time(status.get("startTime")),
        bounded(spec.get("activeDeadlineSeconds"), high=TTL_SECONDS_MAX),
    )
    return began + seconds if began is not None and seconds is not None else None


def unreachable(conditions: Mapping[str, Condition]) -> bool:
    """The node controller marks pods of a silent node not ready, and leaves what the kubelet last said of the containers."""
    ready, containers = conditions.get("Ready") or {}, conditions.get("ContainersReady") or {}
    silent = ready.get("status") == "False" and containers.get("status") == "True"
    return silent and ready.get("reason") != "ReadinessGatesNotReady"


def count_containers(spec: Mapping[str, object]) -> int:
    """Containers of a pod among which the kubelet divides what it keeps of termination messages: those of every kind."""
    kinds = (spec.get(kind) for kind in ("containers", "initContainers", "ephemeralContainers"))
    return max(1, sum(len(found) for found in kinds if isinstance(found, list)))


def _failed_before(status: PodStatus) -> str | None:
    """Which init container made the pod fail, where `task` never ran."""
    if status.get("phase") != "Failed":
        return None
    # The last one that ended badly is the one that mattered: those before it are sidecars, which end with the pod.
    for container in reversed(status.get("initContainerStatuses") or []):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = " ".join((ended.get("message") or "").split())
            return f"container {container['name']} ended with exit code {ended['exitCode']}{said and f': {said}'}"
    return None


def attempt_number(meta: ObjectMeta) -> int | None:
    """The attempt's number of a Job, or of the Job that controls a pod; None for one that isn't ours.

    It is read from the Job's name, which can't be edited as its label can.
    """
    job = controller_of(meta, kind="Job")
    found = JOB_NAME.fullmatch(str(job.get("name") if job is not None else meta["name"]))
    return int(found[1]) if found is not None else None


def job_created(meta: ObjectMeta, run: RunRecord | None, *, number: int, now: float) -> float:
    """When a Job was made. One that this process has just posted wasn't made before that, though the apiserver's clock may have
    been put back."""
    posted = run.tracked.posted_at if run is not None and number == run.tracked.starting else 0.0
    return min(now, max(parse_time(meta["creationTimestamp"]) or now, posted - CLOCK_SLACK))


def job_ended(body: JobBody) -> bool:
    """Whether the Job is complete or has failed: either comes once all of its pods have ended."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)


def task_spec_of(meta: ObjectMeta) -> TaskSpecBody | None:
    """The TaskSpec that a Job carries in its annotation; None where there is none, or an edit has broken it."""
    text = (meta.get("annotations") or {}).get(TASK_SPEC_ANNOTATION)
    if not text or json_codec.is_deep(text):
        return None
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("TaskSpecBody", spec) if isinstance(spec, dict) and isinstance(spec.get("image"), str) else None
