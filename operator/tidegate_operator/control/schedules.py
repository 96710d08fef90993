"""Schedules as keys of the workqueue: which runs they make, replace and delete, and what their status says.

The name of a tick's run is the tick's, so that the apiserver itself refuses a second one.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from tidegate_api.bodies import ScheduleStatusBody
from tidegate_api.names import API_VERSION, SCHEDULE_LABEL, ScheduleReason
from tidegate_api.objects import KubeObject

from tidegate_operator.control.set_aside import SetAsideByCondition
from tidegate_operator.control.warning_events import Warnings
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.kube.paths import own_path
from tidegate_operator.policies.retention import kept_from
from tidegate_operator.policies.schedule import MISSED, Decision, Progress, Standing, decide
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.faults import FaultError, Ref
from tidegate_operator.records.run import RunRecord
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import names_of, schedule_key

KIND: Final = "schedules"
REFUSED_PAUSE: Final = 30.0
"""Seconds until a run that the cluster refused is tried again."""


class ScheduleReconciler(SetAsideByCondition):
    """Decides on Schedules and carries the decisions out."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        workqueue: Workqueue,
        *,
        deletes_due_by: Callable[[str], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, kind=KIND, clock=clock)
        self._cache, self._workqueue = cache, workqueue
        self._deletes_due_by = deletes_due_by
        self._warnings = Warnings(client, clock=clock)
        self._progress: dict[str, Progress] = {}
        self._log = structlog.get_logger(__name__)

    def ref(self, ident: str) -> Ref:
        """The Schedule's names."""
        namespace, name = names_of(ident)
        record = self._cache.schedules.records.get((namespace, name))
        return Ref(kind=KIND, namespace=namespace, name=name, uid=record.uid if record is not None else "")

    def decide(self, ident: str) -> Work:
        """What to do for the Schedule now."""
        key = names_of(ident)
        schedule = self._cache.schedules.records.get(key)
        if schedule is None:
            self._progress.pop(ident, None)
            return NOTHING
        if schedule.fault is not None:
            raise FaultError(schedule.fault)
        now, progress, runs = self._clock(), self._progress_of(ident, schedule), self._cache.schedules.runs_of(key)
        decision = decide(schedule, runs, progress, now, is_needed=self._needed_in(schedule.namespace))
        if not (decision.create or decision.cancel or decision.delete or decision.status or decision.missed):
            return Work(wake_at=decision.wake_at)
        return Work(partial(self._perform, schedule, progress, decision), decision.wake_at)

    def _needed_in(self, namespace: str) -> Callable[[RunRecord], bool] | None:
        """Which finished runs have to stay; None: they aren't ours to delete."""
        due_by = self._deletes_due_by(namespace)
        if due_by == -math.inf:
            return None
        return lambda run: kept_from(run) > due_by or self._cache.has_dependents(run)

    def _progress_of(self, ident: str, schedule: ScheduleRecord) -> Progress:
        known = self._progress.get(ident)
        if known is None or (known.uid, known.generation) != (schedule.uid, schedule.generation):
            # Another spec may be taken where the last one was refused.
            known = self._progress[ident] = Progress(uid=schedule.uid, generation=schedule.generation)
        return known

    async def _perform(self, schedule: ScheduleRecord, progress: Progress, decision: Decision) -> None:
        for run in decision.cancel:
            await self._cancel(run)
        dealt_with = True
        for tick in decision.create:
            refused = await self._create(schedule, tick)
            news = refused is not None and not _is_reported(refused, schedule, progress)
            progress.trouble = refused
            if refused is not None and news:
                await self._warnings.post(schedule, reason=refused.reason, message=refused.message)
            if refused is not None and refused.reason is ScheduleReason.CREATE_REFUSED:
                progress.retry_at, dealt_with = self._clock() + REFUSED_PAUSE, False
                break
            progress.reached, progress.retry_at = tick, 0.0
        if decision.create:
            self._workqueue.add(
                schedule_key(schedule.namespace, schedule.name)
            )  # to record them, with the runs in the cache
        if decision.status is not None:
            await self._write_status(schedule, progress, decision.status)
        # Not before: what failed is decided on again, and would be reported again.
        if decision.missed is not None and dealt_with:
            await self._warnings.post(schedule, reason=MISSED, message=decision.missed)
        for run in decision.delete:
            await self._delete(run)

    async def _create(self, schedule: ScheduleRecord, tick: float) -> Standing | None:
        """Make a tick's run; made already is fine. Answers with why there is none."""
        path, name = own_path("taskruns", schedule.namespace), schedule.run_name(tick)
        try:
            made = await self._client.create(path, build_run(schedule, name), resource="taskruns")
        except KubeError as error:
            if error.code in (400, 403, 404, 422):
                self._log.warning("run refused", run=name, namespace=schedule.namespace, message=error.message)
                return Standing(ScheduleReason.CREATE_REFUSED, f"run {name} was refused: {error.message[:1024]}")
            if error.code != 409 or error.conflict:
                raise
            made = await self._client.get(f"{path}/{name}", KubeObject, resource="taskruns")
            if (made["metadata"].get("labels") or {}).get(SCHEDULE_LABEL) != schedule.name:
                message = f"a run {name} that isn't this schedule's is in the way: its tick has no run"
                self._log.warning("name taken", run=name, namespace=schedule.namespace)
                return Standing(ScheduleReason.NAME_TAKEN, message)
        self._saw_run(made)
        return None

    async def _cancel(self, run: RunRecord) -> None:
        # The uid has it refused when the name has been used again.
        patch = {"metadata": {"uid": run.uid}, "spec": {"cancel": True}}
        path = own_path("taskruns", run.namespace, run.name)
        try:
            self._saw_run(await self._client.merge_patch(path, patch, resource="taskruns"))
        except KubeError as error:
            if error.code not in (404, 409) and not error.other_uid:
                raise

    async def _delete(self, run: RunRecord) -> None:
        path = own_path("taskruns", run.namespace, run.name)
        await self._client.delete(
            path, resource="taskruns", uid=run.uid, version=str(run.version), propagation="Background"
        )
        self._cache.forget("taskruns", namespace=run.namespace, name=run.name, uid=run.uid)

    async def _write_status(self, schedule: ScheduleRecord, progress: Progress, status: ScheduleStatusBody) -> None:
        path = own_path(KIND, schedule.namespace, schedule.name)
        made = await self._client.write_status(path, status, version=schedule.version, resource=KIND)
        # Written: from now on the Schedule itself records it.
        progress.reached, progress.trouble, progress.written = None, None, self._clock()
        self._cache.upserted(KIND, made)

    def _saw_run(self, body: KubeObject) -> None:
        # At once, so that what is decided next never lags the watch.
        self._cache.upserted("taskruns", body)


def build_run(schedule: ScheduleRecord, name: str) -> dict[str, object]:
    """The TaskRun of one tick. It has no owner: runs outlive their Schedule."""
    template = schedule.spec["template"]
    wanted = template.get("metadata") or {}
    meta: dict[str, object] = {
        "name": name,
        "namespace": schedule.namespace,
        "labels": {**(wanted.get("labels") or {}), SCHEDULE_LABEL: schedule.name},
    }
    if wanted.get("annotations"):
        meta["annotations"] = wanted["annotations"]
    return {"apiVersion": API_VERSION, "kind": "TaskRun", "metadata": meta, "spec": template["spec"]}


def _is_reported(refused: Standing, schedule: ScheduleRecord, progress: Progress) -> bool:
    """Whether it is what was said at the last try already. Of a name that is taken, each tick has its own."""
    if refused.reason is not ScheduleReason.CREATE_REFUSED:
        return False
    conditions = schedule.status.get("conditions") or ()
    return refused == progress.trouble or any(c.get("reason") == refused.reason for c in conditions)
