"""Carry decisions out. What 404, 409 and a refusal mean is known here once."""

import time
from collections.abc import Callable

import structlog
from tidegate_api.bodies import TaskRunBody, TaskRunStatusBody, TaskSpecBody
from tidegate_api.names import Phase, Reason
from tidegate_api.objects import ObjectMeta

from tidegate_operator.control.run_counts import RunCounts
from tidegate_operator.control.schema_worker import SchemaWorker
from tidegate_operator.control.set_aside import mark_set_aside
from tidegate_operator.control.warning_events import Warnings
from tidegate_operator.executors import Executor, StartRefusedError
from tidegate_operator.executors.job import expected_job_name
from tidegate_operator.kube.client import METADATA, KubeClient
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.kube.namespace_labels import NamespaceLabels
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.kube.paths import own_path
from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.decision import (
    Action,
    CheckPayload,
    DeleteJob,
    DeleteRun,
    FindAttempt,
    InspectAttempt,
    RecoverAttempt,
    StartAttempt,
    StopAttempt,
    WriteStatus,
)
from tidegate_operator.policies.host_access import beyond_baseline, refuse_host_access
from tidegate_operator.policies.payload import must_check, schema_version
from tidegate_operator.policies.placement import refuse_namespace
from tidegate_operator.policies.pool_task import refuse_pool_task
from tidegate_operator.policies.resolution import resolve
from tidegate_operator.policies.status import STATUS_FIELDS, build_status, failed_by_fault
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.faults import Fault
from tidegate_operator.records.run import LATE_WRITE_SECONDS, Cause, RunRecord, StatusRecord
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.state.cache import Cache

DOUBT_SECONDS = 3.0
"""How long a POST is repeated of which it isn't sure whether it was carried out, before that is reported and the slot given up."""

RECOVER_PAUSE = 2.0
CHECK_PAUSE = 0.2
"""Seconds until a payload is checked of whose namespace too many are being checked."""


class Actor:
    """Turns actions into requests."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        executor: Executor,
        schemas: SchemaWorker,
        *,
        own_writes: OwnWrites,
        metrics: Metrics,
        settings: OperatorSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._labels = settings, NamespaceLabels(client)
        self._client, self._cache, self._executor, self._schemas = client, cache, executor, schemas
        self._own_writes, self._clock = own_writes, clock
        self._counts = RunCounts(cache, metrics, clock=clock)
        self._warnings = Warnings(client, clock=clock)
        self._log = structlog.get_logger(__name__)

    async def perform(self, run: RunRecord | None, action: Action) -> None:
        """Carry one action out. A conflict is no error: the run is read again and decided on again.

        `run` is None where it is gone and only something of it is left to be looked into.
        """
        match action:
            case StopAttempt(attempt, why):
                await self._executor.stop(attempt, why)
            case DeleteJob(attempt):
                await self._executor.discard(attempt)
            case InspectAttempt(attempt):
                await self._executor.inspect(attempt)
                if run is not None and not attempt.plan_known:
                    await self._plan_again(run, attempt)
            case _ if run is not None:
                await self._perform_on(run, action)

    async def _perform_on(self, run: RunRecord, action: Action) -> None:
        match action:
            case StartAttempt(number):
                await self._start(run, number)
            case FindAttempt(number):
                await self._find(run, number)
            case CheckPayload():
                await self._check_payload(run)
            case WriteStatus(status, version) if run.version == version:  # else it is decided on again
                await self._write_status(run, status)
            case RecoverAttempt(number):
                await self._recover(run, number)
            case DeleteRun():
                await self._delete_run(run)

    async def _start(self, run: RunRecord, number: int) -> None:
        body = self._cache.bodies.find(run.uid) or await self._read(run)
        changed = body is None or self._is_gone(run) or run.status.phase.terminal or run.deleting
        if not run.status.attempts and must_check(run, self._cache.task_of(run)):
            changed = True  # so has its task
        sent = bool(run.tracked.posted_at)
        if changed or body is None or run.cancel or run.suspend:
            await self._hold_back(run, number)
            return
        # A refusal would say nothing of a Job that an earlier POST has made, which may be what a quota is full of; and one
        # that was made and deleted since may have left a pod, beside which no other may run.
        if sent and (await self._executor.find(run, number=number) or self._is_gone(run) or run.cancel):
            return
        if sent and self._cache.attempts.has_orphan_pod(run.uid):
            self._cache.track.not_started(run, number)
            return
        resolved = await self._resolve(run, body)
        refusal = await self._refuse_start(run, resolved) if resolved is not None and not sent else None
        if resolved is None or (self._is_gone(run) and not sent):
            await self._hold_back(run, number)
            return
        if refusal is not None:
            await self._refused(run, number, StartRefusedError(refusal, final=True))
            return
        if (pool := resolved.get("pool") or "") != (run.tracked.worker[0][1] if run.tracked.worker is not None else ""):
            # Its Task has changed since it was let in, or nothing frozen is left of it: it needs other slots.
            self._cache.under_way.needs_pool(run, pool)
            await self._hold_back(run, number)
            return
        self._cache.track.posted(run)
        try:
            await self._executor.start(run, body, resolved, number=number)
        except StartRefusedError as refused:
            await self._refused(run, number, refused)
            return
        self._counts.started(run, number)

    async def _refuse_start(self, run: RunRecord, resolved: TaskSpecBody) -> Cause | None:
        settings = self._settings
        if (unfit := refuse_pool_task(resolved)) is not None:
            return unfit
        misplaced = refuse_namespace(run.namespace, own=settings.release_namespace, listed=settings.namespaces)
        if misplaced is not None:
            return misplaced
        violation = beyond_baseline(resolved) if settings.require_baseline else None
        if violation is None:
            return None
        labels = await self._labels.read(run.namespace)
        return refuse_host_access(violation, labels, namespace=run.namespace)

    def _is_gone(self, run: RunRecord) -> bool:
        return self._cache.runs.get(run.uid) is not run

    async def _find(self, run: RunRecord, number: int) -> None:
        if not await self._executor.find(run, number=number):
            self._cache.track.not_started(run, number)

    async def _hold_back(self, run: RunRecord, number: int) -> None:
        """It is not to start after all. A POST that was sent before may have made the Job: that has to be known first."""
        sure = run.tracked.posted_at + LATE_WRITE_SECONDS
        if not run.tracked.posted_at:
            self._cache.track.not_started(run, number)
        elif self._clock() < sure:
            self._cache.track.recover_later(run, sure)
        else:
            await self._find(run, number)

    async def _check_payload(self, run: RunRecord) -> None:
        if self._schemas.is_full(run.namespace):
            self._cache.track.check_later(run, self._clock() + CHECK_PAUSE)
            return
        body = self._cache.bodies.find(run.uid) or await self._read(run)
        task = self._cache.task_of(run)
        version = schema_version(run, task)
        if body is None or version is None:
            return
        spec = body["spec"]
        source = spec.get("task") or (task.spec if task is not None else None) or {}
        schema = source["payloadSchema"]
        refusal = await self._schemas.check(run.namespace, schema, spec.get("payload") or {})
        if self._is_gone(run) or schema_version(run, self._cache.task_of(run)) != version:
            return  # it changed while we checked: decide again
        if refusal is None:
            self._cache.track.payload_matches(run, version=version, body=body)
        elif not run.cancel:
            await self._fail(run, reason=refusal.reason, message=refusal.message)

    async def _resolve(self, run: RunRecord, body: TaskRunBody) -> TaskSpecBody | None:
        """The TaskSpec of the next attempt: the one that is frozen, in the status or on the last Job; else the Task is read again."""
        if (kept := (body.get("status") or {}).get("resolvedTask")) is not None:
            return kept
        previous = self._cache.attempts.latest(run.uid)
        if previous is not None and (frozen := await self._executor.frozen_spec(previous)) is not None:
            return frozen
        spec = body["spec"]
        task = self._cache.task_of(run)
        if spec.get("task"):
            return resolve(spec["task"], spec)
        if task is not None:
            return resolve(task.spec, spec)
        if run.status.attempts:
            message = f"Task {run.task_ref} is gone, and so are the Jobs that held a copy of it"
            await self._fail(run, reason=Reason.TASK_NOT_FOUND, message=message)
        return None

    async def _refused(self, run: RunRecord, number: int, refused: StartRefusedError) -> None:
        """The slot is free as soon as it is sure that no Job was made."""
        now = self._clock()
        retry_at = now + refused.pause
        if (
            not refused.sure
            and now < self._cache.track.in_doubt_since(run) + DOUBT_SECONDS
            and refused.__cause__ is not None
        ):
            raise refused.__cause__  # it is sent again: a name that is taken by then shows that it was made
        self._log.info("start refused", run=run.name, namespace=run.namespace, message=refused.refusal.message)
        if not refused.sure:
            # The apiserver may have stored it before it failed: that is looked up once no late write can come any more.
            self._cache.track.refused(run, refused.refusal, retry_at=retry_at + LATE_WRITE_SECONDS)
            self._cache.track.recover_later(run, now + LATE_WRITE_SECONDS)
            return
        self._cache.track.not_started(run, number)
        if refused.final:
            await self._fail(run, reason=refused.refusal.reason, message=refused.refusal.message)
        else:
            self._cache.track.refused(run, refused.refusal, retry_at=retry_at)

    async def _fail(self, run: RunRecord, *, reason: str, message: str) -> None:
        now = self._clock()
        await self._write_status(
            run, build_status(run, phase=Phase.FAILED, reason=reason, message=message, finished=now, now=now)
        )

    async def _write_status(self, run: RunRecord, status: TaskRunStatusBody) -> None:
        # The watch may bring the write's own event before its answer.
        version, before = run.version, run.status
        try:
            made = await self._client.write_status(
                self._path(run),
                status,
                version=version,
                resource="taskruns",
                accept=METADATA,
                keep="resolvedTask" if run.status.has_resolved_task else None,
            )
        except KubeError as error:
            if error.code not in (404, 409):
                raise
            await self._read(run)
            return
        self._own_writes.note(made["metadata"]["resourceVersion"])
        self._wrote(run, before, made["metadata"], status, written_on=version)
        if (phase := Phase(status["phase"])) in (Phase.RETRYING, Phase.FAILED):
            message = status.get("message") or str(phase)
            await self._warnings.post(run, reason=status.get("reason") or str(phase), message=message)

    def _wrote(
        self, run: RunRecord, before: StatusRecord, meta: ObjectMeta, status: TaskRunStatusBody, *, written_on: int
    ) -> None:
        self._counts.wrote(run, before, status)
        self._cache.wrote_status(run, meta, status, written_on=written_on)
        self._executor.recorded(run, status)
        phase = Phase(status["phase"])
        if phase.terminal:
            self._log.info(
                "run finished", run=run.name, namespace=run.namespace, phase=phase, reason=status.get("reason")
            )

    # A run that is set aside

    async def find_started(self, run: RunRecord) -> None:
        """Find out whether the attempt that the run was let in for was made."""
        if not run.tracked.posted_at:
            self._cache.track.not_started(run, run.tracked.starting)
        elif self._clock() >= run.tracked.posted_at + LATE_WRITE_SECONDS:
            await self._find(run, run.tracked.starting)

    async def fail_set_aside(self, run: RunRecord, fault: Fault) -> None:
        """End the run as Failed/InternalError: as much of its status as can be kept, else a status of this alone.

        Raises KubeError when neither is taken; then the condition SetAside says so, if that is.
        """
        now = self._clock()
        plan_ttl = run.plan.ttl if run.plan is not None else None
        status = failed_by_fault(
            run, message=fault.message, ttl=next((t for t in (run.ttl, plan_ttl) if t is not None), None), now=now
        )
        path, version, before = f"{self._path(run)}/status", run.version, run.status
        bodies: tuple[dict[str, object], ...] = (
            {**status, "nextAttemptAt": None},
            {**dict.fromkeys(STATUS_FIELDS), **status},
        )
        for part in bodies:
            patch = {"metadata": {"uid": run.uid, "resourceVersion": str(version)}, "status": part}
            try:
                made = await self._client.merge_patch(path, patch, resource="taskruns/status")
            except KubeError as error:
                if error.code in (404, 409):
                    await self._read(run)
                    raise
                refused = error
                continue
            self._wrote(run, before, made["metadata"], status, written_on=version)
            await self._warnings.post(run, reason=Reason.INTERNAL_ERROR, message=fault.message)
            return
        await mark_set_aside(self._client, self._path(run), fault, resource="taskruns", now=now)
        raise refused

    async def _recover(self, run: RunRecord, number: int) -> None:
        body = await self._read(run)
        if body is None:
            return
        entry = next((a for a in run.status.attempts if a["number"] == number), None)
        name = (entry.get("jobName") if entry is not None else None) or expected_job_name(run, number=number)
        resolved = self._resolve_again(run, body)
        if not await self._executor.recover(run, number=number, job_name=name, resolved=resolved):
            self._cache.track.recover_later(run, self._clock() + RECOVER_PAUSE)

    async def _plan_again(self, run: RunRecord, attempt: AttemptRecord) -> None:
        """The Job that holds how the attempt is treated is gone, or unreadable: the run has it."""
        if (body := await self._read(run)) is not None and not attempt.plan_known:
            self._cache.under_way.planned(attempt, self._resolve_again(run, body) or {})

    def _resolve_again(self, run: RunRecord, body: TaskRunBody) -> TaskSpecBody | None:
        """The TaskSpec as it is now; None where its Task is gone."""
        task, spec = self._cache.task_of(run), body["spec"]
        source = spec.get("task") or (task.spec if task else None)
        return resolve(source, spec) if source else None

    async def _delete_run(self, run: RunRecord) -> None:
        try:
            await self._client.delete(
                self._path(run), resource="taskruns", uid=run.uid, version=str(run.version), propagation="Background"
            )
        except KubeError as error:
            if not error.conflict:
                raise
            await self._read(run)
            return
        self._cache.drop_run(run.uid)

    async def _read(self, run: RunRecord) -> TaskRunBody | None:
        """The run as it is now, also put into the cache; None when it is gone."""
        try:
            body = await self._client.get(self._path(run), TaskRunBody, resource="taskruns")
        except KubeError as error:
            if error.code != 404:
                raise
            self._cache.drop_run(run.uid)
            return None
        self._cache.upserted("taskruns", body)
        if body["metadata"]["uid"] != run.uid:
            self._cache.drop_run(run.uid)
            return None
        return body

    def _path(self, run: RunRecord) -> str:
        return own_path("taskruns", run.namespace, run.name)
