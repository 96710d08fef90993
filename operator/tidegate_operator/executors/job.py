"""An attempt as a Kubernetes Job with one pod."""

import json
import time
from collections.abc import Callable
from typing import Final

from tidegate_api.names import RUN_UID_LABEL, Reason

from tidegate_operator.cache import Cache
from tidegate_operator.executors import StartRefusedError
from tidegate_operator.kube import METADATA, KubeClient, KubeError
from tidegate_operator.manifests import PodDefaults, ReservedPathError, build_job, job_name
from tidegate_operator.parsing import controller_of, task_spec_of
from tidegate_operator.policies.retry import ran_out_of_memory
from tidegate_operator.records import NO_NODE, STOP_ANNOTATION, AttemptRecord, Json, Plan, PodRecord, Refusal, RunRecord

JOB_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
STARTED_LATE: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons that only say: not yet."""


class JobExecutor:
    """Starts, stops and observes Jobs; what it learns goes into the cache."""

    def __init__(
        self, client: KubeClient, cache: Cache, *, defaults: PodDefaults, clock: Callable[[], float] = time.time
    ) -> None:
        self._client, self._cache, self._defaults, self._clock = client, cache, defaults, clock

    async def start(self, run: RunRecord, body: Json, resolved: Json, *, number: int) -> None:
        """POST the Job. A Job of that name that is ours already is success; another's is a permanent error."""
        # The status keeps the last attempts only; the Job before knows of all that were.
        latest = self._cache.attempts.latest(run.uid)
        after_oom = ran_out_of_memory(run.status.attempts) or (latest is not None and latest.after_oom)
        path = f"/apis/batch/v1/namespaces/{run.namespace}/jobs"
        try:
            job = build_job(body, resolved, number=number, defaults=self._defaults, after_oom=after_oom)
            made = await self._client.create(path, job, resource="jobs", strict=True, accept=METADATA)
        except KubeError as error:
            if error.code != 409:
                raise _refused(error) from error
            made = await self._client.get(f"{path}/{job['metadata']['name']}", resource="jobs", accept=METADATA)
            if controller_of(made["metadata"], kind="TaskRun") != run.uid:
                message = f"a Job {job['metadata']['name']} that isn't this run's is in the way"
                raise StartRefusedError(Refusal(Reason.ERROR, message), final=True) from error
        except ReservedPathError as error:
            raise StartRefusedError(Refusal(Reason.INVALID_TASK, str(error)), final=True) from error
        except RecursionError as error:
            message = "the task or its payload is nested too deeply to be written into a Job"
            raise StartRefusedError(Refusal(Reason.INVALID_TASK, message), final=True) from error
        # At once, so that what is decided next never lags the watch.
        self._cache.put_job(made["metadata"], now=self._clock(), plan=Plan.of(resolved))

    async def find(self, run: RunRecord, *, number: int) -> bool:
        """Whether the Job of attempt `number` is there; if so it is in the cache, else pods are that it may have left."""
        path = f"/apis/batch/v1/namespaces/{run.namespace}/jobs/{expected_job_name(run, number=number)}"
        if await self._find(run, path):
            return True
        for pod in await self._live_pods(run):
            self._cache.put_pod(pod, now=self._clock())
        return False

    async def _live_pods(self, run: RunRecord) -> list[Json]:
        params = {
            "labelSelector": f"{RUN_UID_LABEL}={run.uid}",
            "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed",
        }
        pods = await self._client.get(f"/api/v1/namespaces/{run.namespace}/pods", resource="pods", params=params)
        found: list[Json] = pods["items"]
        return found

    async def _find(self, run: RunRecord, path: str) -> bool:
        try:
            job = await self._client.get(path, resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code != 404:
                raise
            return False
        if controller_of(job["metadata"], kind="TaskRun") != run.uid:
            return False
        self._cache.put_job(job["metadata"], now=self._clock())
        return True

    async def frozen_spec(self, attempt: AttemptRecord) -> Json | None:
        """From the annotation of the attempt's Job; None when the Job is gone."""
        try:
            job = await self._client.get(self._job_path(attempt), resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code == 404:
                return None
            raise
        text = task_spec_of(job["metadata"])
        return json.loads(text) if text else None

    async def stop(self, attempt: AttemptRecord, why: Refusal) -> None:
        """Shorten the pod's deadline: the kubelet sends SIGTERM, waits the grace period, kills, and the logs stay.

        A pod with no node has no kubelet that could do so: its Job is deleted.
        """
        pod = attempt.pod
        if pod is None or not pod.running:
            await self.look(attempt)
            pod = attempt.pod
        if pod is not None and pod.terminal:
            return
        if pod is None or pod.node is None:
            if not attempt.job_gone:
                await self._delete_job(attempt)
            attempt.stop, attempt.stopped_pod = why, pod.uid if pod else ""
            return
        patch = {
            "metadata": {"uid": pod.uid, "annotations": {STOP_ANNOTATION: why.reason}},
            "spec": {"activeDeadlineSeconds": 1},
        }
        try:
            await self._client.merge_patch(self._pod_path(attempt, pod), patch, resource="pods")
        except KubeError as error:
            if error.code not in (404, 409):  # gone, or another pod of the name: the next look tells
                raise
        attempt.stop, attempt.stopped_pod = why, pod.uid

    async def discard(self, attempt: AttemptRecord) -> None:
        """Delete the Job, and see whether it is gone."""
        await self._delete_job(attempt)
        await self.look(attempt)

    async def look(self, attempt: AttemptRecord) -> None:
        """LIST the attempt's pods; with none, ask for the Job and its events."""
        now = self._clock()
        if attempt.supposed_until:
            await self._look_for_supposed(attempt)
            return
        path = f"/api/v1/namespaces/{attempt.namespace}/pods"
        params = {"labelSelector": f"{JOB_UID_LABEL}={attempt.job_uid}"}
        listed: set[str] = set()
        async for items, _ in self._client.pages(path, resource="pods", params=params):
            for item in items:
                listed.add(item["metadata"]["uid"])
                self._cache.put_pod(item, now=now)
        for pod in list(attempt.pods.values()):
            if pod.uid not in listed and not pod.terminal:
                pod.gone = not await self._is_there(attempt, pod)
        if not attempt.plan_known or all(p.terminal for p in attempt.pods.values()):
            await self._look_at_job(attempt)
        self._note_trouble(attempt, now)
        attempt.looked_at = now
        attempt.looks = 0 if pod_runs(attempt) else attempt.looks + 1
        self._cache.settle(attempt.run_uid)

    async def recover(self, run: RunRecord, *, number: int, job_name: str, resolved: Json | None) -> bool:
        """The Job may only have been missed; else its attempt is over once none of the run's pods may still run."""
        if await self._find(run, f"/apis/batch/v1/namespaces/{run.namespace}/jobs/{job_name}"):
            return True
        if await self._live_pods(run):
            return False
        self._cache.add_attempt(
            AttemptRecord(
                run_uid=run.uid,
                namespace=run.namespace,
                number=number,
                job_name=job_name,
                job_uid=f"gone:{run.uid}:{number}",
                created=run.created,
                plan=Plan.of(resolved or {}),
                job_gone=True,
            )
        )
        return True

    async def _delete_job(self, attempt: AttemptRecord) -> None:
        # In the foreground: the Job is there until its pods are gone.
        await self._client.delete(
            self._job_path(attempt), resource="jobs", uid=attempt.job_uid, propagation="Foreground"
        )

    async def _is_there(self, attempt: AttemptRecord, pod: PodRecord) -> bool:
        try:
            body = await self._client.get(self._pod_path(attempt, pod), resource="pods")
        except KubeError as error:
            if error.code == 404:
                return False
            raise
        if body["metadata"]["uid"] != pod.uid:
            return False
        self._cache.put_pod(body, now=self._clock())
        return True

    async def _look_at_job(self, attempt: AttemptRecord) -> None:
        try:
            job = await self._client.get(self._job_path(attempt), resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code != 404:
                raise
            attempt.job_gone = True
            return
        if job["metadata"]["uid"] != attempt.job_uid:
            attempt.job_gone = True
            return
        if not attempt.plan_known:
            self._cache.put_job(job["metadata"], now=self._clock())
        params = {"fieldSelector": f"involvedObject.uid={attempt.job_uid},reason=FailedCreate"}
        events = await self._client.get(
            f"/api/v1/namespaces/{attempt.namespace}/events", resource="events", params=params
        )
        if events["items"] and not attempt.pods:
            newest = max(events["items"], key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
            trouble = _refusal_of_pod(newest.get("message") or "")
            _set_trouble(attempt, trouble, self._clock())
            if trouble.reason == Reason.QUOTA_EXCEEDED:
                attempt.quota_at = self._clock()

    async def _look_for_supposed(self, attempt: AttemptRecord) -> None:
        """Whether the POST that was never answered has made its Job: then the Job's own record replaces this one."""
        attempt.looked_at = self._clock()
        try:
            job = await self._client.get(self._job_path(attempt), resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code != 404:
                raise
            attempt.job_gone = attempt.looked_at >= attempt.supposed_until
        else:
            if controller_of(job["metadata"], kind="TaskRun") == attempt.run_uid:
                self._cache.put_job(job["metadata"], now=self._clock())
            else:
                attempt.job_gone = True
        self._cache.settle(attempt.run_uid)

    def _note_trouble(self, attempt: AttemptRecord, now: float) -> None:
        pod = attempt.pod
        if pod is None or pod.terminal:
            return
        if pod.running:
            _set_trouble(attempt, None, now)
        elif pod.node is None:
            _set_trouble(attempt, Refusal(Reason.SCHEDULING, pod.scheduling_message or NO_NODE), now)
        elif pod.waiting_reason and pod.waiting_reason not in STARTED_LATE:
            _set_trouble(attempt, Refusal(pod.waiting_reason, pod.waiting_message or pod.waiting_reason), now)
        else:
            _set_trouble(attempt, Refusal(Reason.PULLING_IMAGE, f"starting on node {pod.node}"), now)

    def _job_path(self, attempt: AttemptRecord) -> str:
        return f"/apis/batch/v1/namespaces/{attempt.namespace}/jobs/{attempt.job_name}"

    def _pod_path(self, attempt: AttemptRecord, pod: PodRecord) -> str:
        return f"/api/v1/namespaces/{attempt.namespace}/pods/{pod.name}"


def pod_runs(attempt: AttemptRecord) -> bool:
    """Whether a pod of the attempt runs, so that events tell of it."""
    return attempt.pod is not None and attempt.pod.running and not attempt.unwatched


def expected_job_name(run: RunRecord, *, number: int) -> str:
    """Name of the Job that attempt `number` of a run has."""
    return job_name(run=run.name, run_uid=run.uid, number=number)


def _set_trouble(attempt: AttemptRecord, trouble: Refusal | None, now: float) -> None:
    if attempt.trouble is None or trouble is None or attempt.trouble.reason != trouble.reason:
        attempt.trouble_since = now
    attempt.trouble = trouble


def _refused(error: KubeError) -> Exception:
    """What a refused POST of a Job means for its run."""
    if error.code in (400, 422):
        return StartRefusedError(Refusal(Reason.INVALID_TASK, error.message), final=True)
    if error.code == 403 and "exceeded quota" in error.message:
        return StartRefusedError(Refusal(Reason.QUOTA_EXCEEDED, error.message), final=False)
    if error.code in (403, 404):
        return StartRefusedError(Refusal(Reason.CREATE_REFUSED, error.message), final=False)
    return error


def _refusal_of_pod(message: str) -> Refusal:
    """What a Job's FailedCreate event means for its run."""
    if "violates PodSecurity" in message or "denied the request" in message:
        return Refusal(Reason.POD_REJECTED, message)
    if "exceeded quota" in message:
        return Refusal(Reason.QUOTA_EXCEEDED, message)
    return Refusal(Reason.CREATE_REFUSED, message)
