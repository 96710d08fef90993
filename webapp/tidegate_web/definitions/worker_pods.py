"""What a worker pod of a pool does, read of the pod as the apiserver gives it. Pure.

Fields of another type than Kubernetes' count as missing: a pod that is odd is shown with what it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tidegate_api.names import WORKER_CONTAINER

from tidegate_web.cluster.objects import KubeObject
from tidegate_web.shared.json_types import JsonObject, as_object, as_objects, as_text, whole_number
from tidegate_web.shared.times import parse_time

MESSAGE_CHARACTERS: Final = 512
NAME_CHARACTERS: Final = 253
_ONLY_STARTING: Final = ("ContainerCreating", "PodInitializing")
"""Reasons to wait that each container has for a moment."""
_NOT_CONNECTED: Final = "Its container runs, and it is not connected to the operator, or takes no runs at the moment."


class WorkerState(StrEnum):
    """In words, in the order in which workers are shown: first those that someone may have to look at."""

    NOT_READY = "not ready"
    NOT_SCHEDULED = "not scheduled"
    UNREACHABLE = "node does not answer"
    ENDED = "ended"
    GONE = "gone"
    STARTING = "starting"
    DRAINING = "draining"
    TERMINATING = "terminating"
    UNKNOWN = "not known"
    READY = "ready"


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker pod, as it is shown."""

    name: str
    state: WorkerState
    node: str = ""
    reason: str = ""
    message: str = ""
    restarts: int = 0
    last_end: str = ""
    """Why its container ended the last time, in Kubernetes' one word."""
    created: datetime | None = None
    until: datetime | None = None
    """Of a pod that is deleted: when it is killed at the latest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cause:
    state: WorkerState
    reason: str = ""
    message: str = ""


def worker_of(pod: KubeObject) -> Worker:
    """What is shown of a pod."""
    metadata, status = as_object(pod.get("metadata")), as_object(pod.get("status"))
    containers = as_objects(status.get("containerStatuses"))
    until = parse_time(metadata.get("deletionTimestamp"))
    cause = _cause(status, containers, deleted=until is not None)
    return Worker(
        name=_words(metadata.get("name"), most=NAME_CHARACTERS),
        state=cause.state,
        node=_words(as_object(pod.get("spec")).get("nodeName"), most=NAME_CHARACTERS),
        reason=cause.reason,
        message=cause.message,
        restarts=sum(whole_number(each.get("restartCount")) or 0 for each in containers),
        last_end=_words(_ended_before(_worker(containers)).get("reason")),
        created=parse_time(metadata.get("creationTimestamp")),
        until=until,
    )


def _cause(status: JsonObject, containers: list[JsonObject], *, deleted: bool) -> _Cause:
    conditions = {str(each.get("type")): each for each in as_objects(status.get("conditions"))}
    worker = _worker(containers)
    if _is_cut_off(conditions):
        return _Cause(state=WorkerState.UNREACHABLE, message="Its node has not reported for a while.")
    if deleted:
        runs = "running" in as_object(worker.get("state"))
        return _Cause(state=WorkerState.DRAINING if runs else WorkerState.TERMINATING)
    if status.get("phase") in ("Failed", "Succeeded"):
        end = as_object(as_object(worker.get("state")).get("terminated"))
        return _Cause(
            state=WorkerState.ENDED,
            reason=_words(status.get("reason")) or _words(end.get("reason")),
            message=_words(status.get("message")) or _words(end.get("message")),
        )
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        reason, message = _words(scheduled.get("reason")), _words(scheduled.get("message"))
        return _Cause(state=WorkerState.NOT_SCHEDULED, reason=reason, message=message)
    if (conditions.get("Ready") or {}).get("status") == "True":
        return _Cause(state=WorkerState.READY)
    for container in (*as_objects(status.get("initContainerStatuses")), *containers):
        if container.get("ready") is not True and (found := _trouble(container)) is not None:
            return found
    if "running" in as_object(worker.get("state")) and worker.get("started") is True:
        return _Cause(state=WorkerState.NOT_READY, message=_NOT_CONNECTED)
    return _Cause(state=WorkerState.STARTING)


def _trouble(container: JsonObject) -> _Cause | None:
    """What keeps a container from being ready; None where it only has to be waited for."""
    state = as_object(container.get("state"))
    waiting, ended = as_object(state.get("waiting")), as_object(state.get("terminated"))
    before = _ended_before(container)
    reason = _words(waiting.get("reason"))
    if ended:
        return _named(container, WorkerState.NOT_READY, _words(ended.get("reason")) or "Ended", _end(ended))
    if reason and reason not in _ONLY_STARTING:
        # Of a container that ends again and again, its own last words say more than that it is started later.
        return _named(container, WorkerState.NOT_READY, reason, _end(before) or _words(waiting.get("message")))
    if before and container.get("started") is not True:
        return _named(container, WorkerState.STARTING, _words(before.get("reason")), _end(before))
    return None


def _named(container: JsonObject, state: WorkerState, reason: str, message: str) -> _Cause:
    """The container is named where it is not the worker's own."""
    name = _words(container.get("name"), most=NAME_CHARACTERS)
    if name != WORKER_CONTAINER:
        message = f"container {name}: {message}" if message else f"container {name}"
    return _Cause(state=state, reason=reason, message=message)


def _end(ended: JsonObject) -> str:
    """How a container ended: its exit code, and what it said."""
    code, said = whole_number(ended.get("exitCode"), least=-1), _words(ended.get("message"), last=True)
    return ": ".join(part for part in ("" if code is None else f"exit {code}", said) if part)


def _is_cut_off(conditions: Mapping[str, JsonObject]) -> bool:
    """Of a node that is silent, the control plane only says that the pod is not ready: its containers still count as ready."""
    ready, of_containers = conditions.get("Ready") or {}, conditions.get("ContainersReady") or {}
    if ready.get("reason") == "ReadinessGatesNotReady":
        return False
    return ready.get("status") == "False" and of_containers.get("status") == "True"


def _worker(containers: list[JsonObject]) -> JsonObject:
    return next((each for each in containers if each.get("name") == WORKER_CONTAINER), {})


def _ended_before(container: JsonObject) -> JsonObject:
    return as_object(as_object(container.get("lastState")).get("terminated"))


def _words(value: object, *, most: int = MESSAGE_CHARACTERS, last: bool = False) -> str:
    """A text in one line, cut; its end where that says more than its beginning."""
    text = " ".join((as_text(value) or "").split())
    return text[-most:] if last else text[:most]
