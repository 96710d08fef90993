"""Logs of a run's pods, read through the apiserver: gone when the pods are gone."""

import codecs
import time
from collections.abc import Iterator
from typing import cast

from tidegate_api.bodies import TaskRunBody
from tidegate_api.names import API_VERSION, ATTEMPT_LABEL, RUN_UID_LABEL, TASK_CONTAINER, TERMINAL_PHASES
from tidegate_api.objects import ContainerState, PodBody
from tidegate_api.ownership import controller_of, controller_uid
from tidegate_api.run_json import RunJson

from tidegate_cli.backends.http import AnswerError, Http
from tidegate_cli.deadlines import Deadline
from tidegate_cli.errors import CommandError

PAUSE_SECONDS = 0.5


def logs(http: Http, run: RunJson, *, attempt: int | None, follow: bool) -> Iterator[str]:
    """Pod by pod in the order of attempts; with `follow` until the run has ended."""
    shown: set[str] = set()
    while True:
        # Asked before the pods: whatever pod a run that has ended had is in the list.
        ended = not follow or _ended(http, run)
        for pod in _pods(http, run, attempt):
            if pod["metadata"]["uid"] not in shown and _has_started(pod):
                shown.add(pod["metadata"]["uid"])
                yield from _log(http, pod, follow=follow)
        if ended:
            break
        time.sleep(PAUSE_SECONDS)
    if not shown:
        raise CommandError(f"{run['name']} has no pod with a log (any more): the web app keeps logs (tidegate login)")


def _log(http: Http, pod: PodBody, *, follow: bool) -> Iterator[str]:
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    query = {"container": TASK_CONTAINER, "follow": "true" if follow else None}
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with http.stream(path, query=query, deadline=Deadline(None), quiet=3600) as stream:
        for piece in stream.pieces():
            yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _pods(http: Http, run: RunJson, attempt: int | None) -> list[PodBody]:
    selector = f"{RUN_UID_LABEL}={run['uid']}" + (f",{ATTEMPT_LABEL}={attempt}" if attempt else "")
    answer = http.request("GET", f"/api/v1/namespaces/{run['project']}/pods", query={"labelSelector": selector})
    jobs: dict[str, bool] = {}
    found = [pod for pod in answer["items"] if _is_of(http, pod, run, jobs)]
    return sorted(found, key=lambda pod: (_attempt(pod), pod["metadata"]["creationTimestamp"]))


def _is_of(http: Http, pod: PodBody, run: RunJson, jobs: dict[str, bool]) -> bool:
    """Whether a pod is the run's: by its owners, for labels can be anybody's. One that its Job left is known to the status."""
    job = controller_of(pod["metadata"], kind="Job")
    if job is None:
        attempts = run["status"].get("attempts") or []
        return any(each.get("podName") == pod["metadata"]["name"] for each in attempts)
    uid = job["uid"]
    if uid not in jobs:
        try:
            found = http.request("GET", f"/apis/batch/v1/namespaces/{run['project']}/jobs/{job.get('name')}")
        except AnswerError as error:
            if error.status != 404:
                raise
            jobs[uid] = False
        else:
            owner = controller_uid(found["metadata"], kind="TaskRun")
            jobs[uid] = found["metadata"]["uid"] == uid and owner == run["uid"]
    return jobs[uid]


def _attempt(pod: PodBody) -> int:
    text = (pod["metadata"].get("labels") or {}).get(ATTEMPT_LABEL, "")
    return int(text) if text.isdecimal() else 0


def _has_started(pod: PodBody) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    state = next(
        (each.get("state") or ContainerState() for each in statuses if each["name"] == TASK_CONTAINER), ContainerState()
    )
    return "running" in state or "terminated" in state


def _ended(http: Http, run: RunJson) -> bool:
    path = f"/apis/{API_VERSION}/namespaces/{run['project']}/taskruns/{run['name']}"
    try:
        now = cast("TaskRunBody", http.request("GET", path))
    except AnswerError as error:
        if error.status == 404:
            return True
        raise
    return now["metadata"]["uid"] != run["uid"] or (now.get("status") or {}).get("phase") in TERMINAL_PHASES
