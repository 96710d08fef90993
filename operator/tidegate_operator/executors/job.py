"""An attempt as a Kubernetes Job with one pod."""

import time
from collections.abc import Callable
from typing import Final, TypedDict

from tidegate_api.bodies import TaskRunBody, TaskRunStatusBody, TaskSpecBody
from tidegate_api.job_names import job_name
from tidegate_api.names import RUN_UID_LABEL, Reason
from tidegate_api.objects import EventBody, JobBody, KubeObject, PodBody
from tidegate_api.ownership import controller_uid
from tidegate_api.times import format_time

from tidegate_operator.executors import StartRefusedError
from tidegate_operator.executors.pod_events import newest_event, trouble_of_pod
from tidegate_operator.executors.refusals import refusal_of_job, refusal_of_pod
from tidegate_operator.kube.client import METADATA, KubeClient
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.manifests.job import PodDefaults, ReservedPathError, TooDeepError, build_job
from tidegate_operator.policies.outcome import is_over
from tidegate_operator.policies.retry import ran_out_of_memory
from tidegate_operator.records.attempt import TASK_ENDED, AttemptRecord, PodRecord
from tidegate_operator.records.parsing import job_ended, task_spec_of
from tidegate_operator.records.run import NO_NODE, STOP_ANNOTATION, STOP_FLOOR_ANNOTATION, Cause, Plan, RunRecord
from tidegate_operator.state.cache import Cache

JOB_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"


class _PodList(TypedDict):
    items: list[PodBody]


class _EventList(TypedDict):
    items: list[EventBody]


class JobExecutor:
    """Starts, stops and observes Jobs; what it learns goes into the cache."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        *,
        defaults: Callable[[], PodDefaults],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._cache, self._defaults, self._clock = client, cache, defaults, clock

    async def start(self, run: RunRecord, body: TaskRunBody, resolved: TaskSpecBody, *, number: int) -> None:
        """POST the Job. A Job of that name that is ours already is success; another's is a permanent error."""
        # The status keeps the last attempts only; the Job before knows of all that were.
        latest = self._cache.attempts.latest(run.uid)
        after_oom = ran_out_of_memory(run.status.attempts) or (latest is not None and latest.after_oom)
        path, name = f"/apis/batch/v1/namespaces/{run.namespace}/jobs", expected_job_name(run, number=number)
        try:
            job = build_job(body, resolved, number=number, defaults=self._defaults(), after_oom=after_oom)
            made = await self._client.create(path, job, resource="jobs", strict=True, accept=METADATA)
        except KubeError as error:
            if error.conflict:
                raise  # such as of a quota that is counted by many at once: it goes well in a moment
            if error.code != 409:
                raise refusal_of_job(error) from error
            made = await self._client.get(f"{path}/{name}", KubeObject, resource="jobs", accept=METADATA)
            if controller_uid(made["metadata"], kind="TaskRun") != run.uid:
                message = f"a Job {name} that isn't this run's is in the way"
                raise StartRefusedError(Cause(Reason.ERROR, message), final=True) from error
        except (ReservedPathError, TooDeepError) as error:
            raise StartRefusedError(Cause(Reason.INVALID_TASK, str(error)), final=True) from error
        except RecursionError as error:
            raise StartRefusedError(Cause(Reason.INVALID_TASK, str(TooDeepError())), final=True) from error
        self._cache.under_way.put_job(made["metadata"], spec=resolved)

    async def find(self, run: RunRecord, *, number: int) -> bool:
        """Whether the Job of attempt `number` is there; if so it is in the cache, else pods are that it may have left."""
        path = f"/apis/batch/v1/namespaces/{run.namespace}/jobs/{expected_job_name(run, number=number)}"
        if await self._find(run, path):
            return True
        for pod in await self._live_pods(run):
            self._cache.upserted("pods", pod)
        return False

    async def _live_pods(self, run: RunRecord) -> list[PodBody]:
        params = {
            "labelSelector": f"{RUN_UID_LABEL}={run.uid}",
            "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed",
        }
        path = f"/api/v1/namespaces/{run.namespace}/pods"
        pods = await self._client.get(path, _PodList, resource="pods", params=params)
        return pods["items"]

    async def _find(self, run: RunRecord, path: str) -> bool:
        try:
            job = await self._client.get(path, KubeObject, resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code != 404:
                raise
            return False
        if controller_uid(job["metadata"], kind="TaskRun") != run.uid:
            return False
        self._cache.upserted("jobs", job)
        return True

    async def frozen_spec(self, attempt: AttemptRecord) -> TaskSpecBody | None:
        """From the annotation of the attempt's Job; None when the Job is gone."""
        try:
            job = await self._client.get(self._job_path(attempt), KubeObject, resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code == 404:
                return None
            raise
        return task_spec_of(job["metadata"])

    async def stop(self, attempt: AttemptRecord, why: Cause) -> None:
        """Shorten the pod's deadline: the kubelet sends SIGTERM, waits the grace period, kills, and the logs stay.

        A pod with no node has no kubelet that could do so: its Job is deleted, as where the Job has yet to replace its pod.
        """
        pod = attempt.pod
        if pod is None or not pod.running:
            await self.inspect(attempt)
            pod = attempt.pod
        if is_over(attempt):
            return
        if pod is None or pod.terminal or pod.node is None:
            if not attempt.job_gone:
                await self._delete_job(attempt)
            self._cache.attempts.stopping(attempt, why, pod=pod)
            return
        if pod.task_ended:
            why = TASK_ENDED  # whatever it is stopped for, its end is the task's own
        annotations = {STOP_ANNOTATION: why.reason}
        if (floor := pod.stop_floor_at(self._clock())) is not None:
            annotations[STOP_FLOOR_ANNOTATION] = format_time(floor)
        patch = {
            "metadata": {"uid": pod.uid, "annotations": annotations},
            "spec": {"activeDeadlineSeconds": 1},
        }
        try:
            await self._client.merge_patch(self._pod_path(attempt, pod), patch, resource="pods")
        except KubeError as error:
            if (
                error.code not in (404, 409) and not error.other_uid
            ):  # gone, or another of the name: the next inspection finds out
                raise
        self._cache.attempts.stopping(attempt, why, pod=pod)

    async def discard(self, attempt: AttemptRecord) -> None:
        """Delete the Job, and see whether it is gone."""
        await self._delete_job(attempt)
        await self.inspect(attempt)

    async def inspect(self, attempt: AttemptRecord) -> None:
        """LIST the attempt's pods; with none, ask for the Job and its events."""
        now = self._clock()
        if attempt.unconfirmed_until:
            await self._look_for_unconfirmed(attempt)
            return
        await self._list_pods(attempt)
        if not attempt.plan_known or all(p.terminal for p in attempt.pods.values()):
            ended = attempt.job_ended
            await self._look_at_job(attempt)
            if attempt.job_ended and not ended:
                await self._list_pods(attempt)  # its last pod may have come and ended after the first list
        await self._note_trouble(attempt, now)
        self._cache.attempts.inspected(attempt, at=now, runs=pod_runs(attempt))
        self._cache.settle(attempt.run_uid)

    async def _list_pods(self, attempt: AttemptRecord) -> None:
        path = f"/api/v1/namespaces/{attempt.namespace}/pods"
        params = {"labelSelector": f"{JOB_UID_LABEL}={attempt.job_uid}"}
        listed: set[str] = set()
        async for items, _ in self._client.pages(path, KubeObject, resource="pods", params=params):
            for item in items:
                listed.add(item["metadata"]["uid"])
                self._cache.upserted("pods", item)
        for pod in list(attempt.pods.values()):
            if pod.uid not in listed and not pod.terminal and not await self._is_there(attempt, pod):
                self._cache.attempts.pod_is_gone(attempt, pod)

    def recorded(self, run: RunRecord, status: TaskRunStatusBody) -> None:
        """Its Job and pods stay until the cluster collects them."""

    async def recover(self, run: RunRecord, *, number: int, job_name: str, resolved: TaskSpecBody | None) -> bool:
        """The Job may only have been missed; else its attempt is over once none of the run's pods may still run."""
        if await self._find(run, f"/apis/batch/v1/namespaces/{run.namespace}/jobs/{job_name}"):
            return True
        if await self._live_pods(run):
            return False
        self._cache.under_way.put_attempt(
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
            body = await self._client.get(self._pod_path(attempt, pod), KubeObject, resource="pods")
        except KubeError as error:
            if error.code == 404:
                return False
            raise
        if body["metadata"]["uid"] != pod.uid:
            return False
        self._cache.upserted("pods", body)
        return True

    async def _look_at_job(self, attempt: AttemptRecord) -> None:
        index, now = self._cache.attempts, self._clock()
        try:
            job = await self._client.get(self._job_path(attempt), JobBody, resource="jobs")
        except KubeError as error:
            if error.code != 404:
                raise
            index.job_is_gone(attempt)
            return
        if job["metadata"]["uid"] != attempt.job_uid:
            index.job_is_gone(attempt)
            return
        if not attempt.plan_known:
            self._cache.upserted("jobs", job)
        if job_ended(job):
            index.job_has_ended(attempt)
            return
        if (job.get("spec") or {}).get("suspend"):
            held = Cause(Reason.SCHEDULING, f"its Job {attempt.job_name} is suspended by another controller")
            index.is_held(attempt, held, at=now, suspended=True)
            index.has_trouble(attempt, held, at=now)
            return
        if attempt.pods:
            index.is_held(attempt, None, at=now)
            return
        said = newest_event(await self._events(attempt.namespace, attempt.job_uid, selector=",reason=FailedCreate"))
        trouble = refusal_of_pod(said.message) if said is not None else None
        index.is_held(attempt, trouble if trouble and trouble.reason == Reason.QUOTA_EXCEEDED else None, at=now)
        if trouble is not None:
            index.has_trouble(attempt, trouble, at=now)

    async def _events(self, namespace: str, uid: str, *, selector: str = "") -> list[EventBody]:
        """The Events about an object."""
        params = {"fieldSelector": f"involvedObject.uid={uid}{selector}"}
        path = f"/api/v1/namespaces/{namespace}/events"
        found = await self._client.get(path, _EventList, resource="events", params=params)
        return found["items"]

    async def _look_for_unconfirmed(self, attempt: AttemptRecord) -> None:
        """Whether the POST that was never answered has made its Job: then the Job's own record replaces this one."""
        now = self._clock()
        self._cache.attempts.inspected(attempt, at=now, runs=False)
        try:
            job = await self._client.get(self._job_path(attempt), KubeObject, resource="jobs", accept=METADATA)
        except KubeError as error:
            if error.code != 404:
                raise
            if now >= attempt.unconfirmed_until:
                self._cache.attempts.job_is_gone(attempt)
        else:
            if controller_uid(job["metadata"], kind="TaskRun") == attempt.run_uid:
                self._cache.upserted("jobs", job)
            else:
                self._cache.attempts.job_is_gone(attempt)
        self._cache.settle(attempt.run_uid)

    async def _note_trouble(self, attempt: AttemptRecord, now: float) -> None:
        """What the cluster says about a pod that doesn't run: its containers' own words first, then those of its Events."""
        pod = attempt.pod
        if pod is None or pod.terminal:
            return
        if pod.running:
            trouble = None
        elif pod.node is None:
            trouble = Cause(Reason.SCHEDULING, pod.scheduling_message or NO_NODE)
        elif pod.waiting is not None:
            trouble = pod.waiting
        else:
            # A volume that can't be mounted, a network that isn't there, and the image of a pull that hangs are in Events alone.
            trouble = trouble_of_pod(await self._events(attempt.namespace, pod.uid), node=pod.node)
        self._cache.attempts.has_trouble(attempt, trouble, at=now)

    def _job_path(self, attempt: AttemptRecord) -> str:
        return f"/apis/batch/v1/namespaces/{attempt.namespace}/jobs/{attempt.job_name}"

    def _pod_path(self, attempt: AttemptRecord, pod: PodRecord) -> str:
        return f"/api/v1/namespaces/{attempt.namespace}/pods/{pod.name}"


def pod_runs(attempt: AttemptRecord) -> bool:
    """Whether a pod of the attempt runs, so that events report it: those of a Pending pod aren't watched."""
    pod = attempt.pod
    return pod is not None and pod.running and pod.phase != "Pending" and not attempt.unwatched


def expected_job_name(run: RunRecord, *, number: int) -> str:
    """Name of the Job that attempt `number` of a run has."""
    return job_name(run=run.name, run_uid=run.uid, number=number)
