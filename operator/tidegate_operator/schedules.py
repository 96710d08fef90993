"""Schedules, carried out: a reconciler of their own, since they are few and what wakes them are ticks and their runs.

One key is never in two workers; what happens to it meanwhile makes it dirty again. The name of a tick's run is the tick's, so
that the apiserver itself refuses a second one.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import aiohttp
import structlog
from tidegate_api.names import API_VERSION, GROUP, SCHEDULE_LABEL, VERSION, ScheduleReason

from tidegate_operator.cache import Cache
from tidegate_operator.events import Warnings
from tidegate_operator.kube import KubeClient, KubeError, NotLeadingError
from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.retention import ended_at
from tidegate_operator.policies.schedule import MISSED, Decision, Progress, Standing, decide
from tidegate_operator.records import Json, RunRecord, ScheduleRecord
from tidegate_operator.schedule_index import Key
from tidegate_operator.timers import Timers

AT_ONCE: Final = 8
"""Schedules that are carried out at once: at midnight all may want to be."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
REFUSED_PAUSE: Final = 30.0
"""Seconds until a run that the cluster refused is tried again."""

LOOK_SECONDS: Final = 30.0
"""A wall clock that is set forward wakes no timer: so long may a tick be late for it."""

SYNC_LOOK_SECONDS: Final = 0.1


def nobody_needs(_: RunRecord) -> bool:
    """No live run depends on the run."""
    return False


class ScheduleReconciler:
    """Decides on Schedules and carries the decisions out."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        *,
        mark_runs: Callable[[Iterable[str]], None],
        deletes_due_by: Callable[[str], float],
        metrics: Metrics,
        is_needed: Callable[[RunRecord], bool] = nobody_needs,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._cache, self._mark_runs, self._metrics = client, cache, mark_runs, metrics
        self._is_needed, self._deletes_due_by = is_needed, deletes_due_by
        self._clock = clock
        self._warnings = Warnings(client, clock=clock)
        self._dirty: dict[Key, None] = {}
        self._busy: set[Key] = set()
        self._timers: Timers[Key] = Timers()
        self._failures: dict[Key, int] = {}
        self._progress: dict[Key, Progress] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log = structlog.get_logger(__name__)
        cache.schedules.on_change = self.mark

    def mark(self, key: Key) -> None:
        """This Schedule has to be decided on."""
        self._dirty[key] = None
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled or stopped."""
        while not self._stopping:
            for key in self._timers.due(self._clock()):
                self.mark(key)
            pause = SYNC_LOOK_SECONDS
            if self._cache.complete:
                self._drain()
                at = self._timers.next_at
                pause = LOOK_SECONDS if at is None else min(LOOK_SECONDS, max(0.0, at - self._clock()))
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def stop(self) -> None:
        """Start nothing more and let what is in flight end."""
        self._stopping = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def _drain(self) -> None:
        for key in list(islice((k for k in self._dirty if k not in self._busy), AT_ONCE - len(self._busy))):
            del self._dirty[key]
            schedule = self._cache.schedules.records.get(key)
            if schedule is None:
                self._timers.set(key, None)
                for known in (self._failures, self._progress):
                    known.pop(key, None)
                continue
            self._busy.add(key)
            task = asyncio.create_task(self._reconcile(key, schedule), name=f"schedule {'/'.join(key)}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reconcile(self, key: Key, schedule: ScheduleRecord) -> None:
        log = self._log.bind(schedule=schedule.name, namespace=schedule.namespace)
        retry_at: float | None = None
        try:
            progress = self._progress_of(key, schedule)
            runs = self._cache.schedules.runs_of(key)
            decision = decide(schedule, runs, progress, self._clock(), is_needed=self._needed_in(schedule.namespace))
            self._timers.set(key, decision.wake_at)
            await self._perform(schedule, progress, decision)
            self._failures.pop(key, None)
        except NotLeadingError:
            retry_at = self._clock() + 1.0
        except (KubeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            failed = self._failures[key] = self._failures.get(key, 0) + 1
            retry_at = self._clock() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failed - 1, 10))
            # Changed or gone is no fault: the watch is about to say so.
            if not (isinstance(error, KubeError) and error.code in (404, 409)):
                self._metrics.errors.inc()
                log.warning("schedule failed", error=str(error) or repr(error))
        except Exception:
            retry_at = self._clock() + LONGEST_PAUSE
            self._metrics.errors.inc()
            log.exception("schedule broke")
        finally:
            self._busy.discard(key)
            if retry_at is not None:
                self._timers.set(key, retry_at)
            self._changed.set()

    def _needed_in(self, namespace: str) -> Callable[[RunRecord], bool] | None:
        """Which finished runs have to stay; None: they aren't ours to delete."""
        due_by = self._deletes_due_by(namespace)
        if due_by == -math.inf:
            return None
        return lambda run: ended_at(run) > due_by or self._is_needed(run)

    def _progress_of(self, key: Key, schedule: ScheduleRecord) -> Progress:
        known = self._progress.get(key)
        if known is None or (known.uid, known.generation) != (schedule.uid, schedule.generation):
            # Another spec may be taken where the last one was refused.
            known = self._progress[key] = Progress(uid=schedule.uid, generation=schedule.generation)
        return known

    async def _perform(self, schedule: ScheduleRecord, progress: Progress, decision: Decision) -> None:
        for run in decision.cancel:
            await self._cancel(run)
        dealt_with = True
        for tick in decision.create:
            refused = await self._create(schedule, tick)
            news = refused is not None and not _is_told(refused, schedule, progress)
            progress.trouble = refused
            if refused is not None and news:
                await self._warnings.post(schedule, reason=refused.reason, message=refused.message)
            if refused is not None and refused.reason is ScheduleReason.CREATE_REFUSED:
                progress.retry_at, dealt_with = self._clock() + REFUSED_PAUSE, False
                break
            progress.reached, progress.retry_at = tick, 0.0
        if decision.create:
            self.mark((schedule.namespace, schedule.name))  # to tell of them, with the runs in the cache
        if decision.status is not None:
            await self._write_status(schedule, progress, decision.status)
        # Not before: what failed is decided on again, and would be told of again.
        if decision.missed is not None and dealt_with:
            await self._warnings.post(schedule, reason=MISSED, message=decision.missed)
        for run in decision.delete:
            await self._delete(run)

    async def _create(self, schedule: ScheduleRecord, tick: float) -> Standing | None:
        """Make a tick's run; made already is fine. Answers with why there is none."""
        path, name = _runs_path(schedule.namespace), schedule.run_name(tick)
        try:
            made = await self._client.create(path, build_run(schedule, name), resource="taskruns")
        except KubeError as error:
            if error.code in (400, 403, 404, 422):
                self._log.warning("run refused", run=name, namespace=schedule.namespace, message=error.message)
                return Standing(ScheduleReason.CREATE_REFUSED, f"run {name} was refused: {error.message[:1024]}")
            if error.code != 409 or error.conflict:
                raise
            made = await self._client.get(f"{path}/{name}", resource="taskruns")
            if (made["metadata"].get("labels") or {}).get(SCHEDULE_LABEL) != schedule.name:
                message = f"a run {name} that isn't this schedule's is in the way: its tick has no run"
                self._log.warning("name taken", run=name, namespace=schedule.namespace)
                return Standing(ScheduleReason.NAME_TAKEN, message)
        self._saw_run(made)
        return None

    async def _cancel(self, run: RunRecord) -> None:
        # The uid makes it a conflict when the name has been used again.
        patch = {"metadata": {"uid": run.uid}, "spec": {"cancel": True}}
        path = f"{_runs_path(run.namespace)}/{run.name}"
        try:
            self._saw_run(await self._client.merge_patch(path, patch, resource="taskruns"))
        except KubeError as error:
            if error.code not in (404, 409):
                raise

    async def _delete(self, run: RunRecord) -> None:
        path = f"{_runs_path(run.namespace)}/{run.name}"
        await self._client.delete(
            path, resource="taskruns", uid=run.uid, version=str(run.version), propagation="Background"
        )
        self._cache.drop_run(run.uid)

    async def _write_status(self, schedule: ScheduleRecord, progress: Progress, status: Json) -> None:
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{schedule.namespace}/schedules/{schedule.name}/status"
        patch: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(schedule.version)},
            {"op": "add", "path": "/status", "value": status},
        ]
        made = await self._client.json_patch(path, patch, resource="schedules/status")
        # Written: from now on the Schedule itself tells.
        progress.reached, progress.trouble, progress.written = None, None, self._clock()
        self._mark_runs(self._cache.schedules.put(made))

    def _saw_run(self, body: Json) -> None:
        # At once, so that what is decided next never lags the watch.
        self._mark_runs(self._cache.put_run(body, now=self._clock()))


def build_run(schedule: ScheduleRecord, name: str) -> Json:
    """The TaskRun of one tick. It has no owner: runs outlive their Schedule."""
    template = schedule.spec["template"]
    wanted = template.get("metadata") or {}
    meta: Json = {
        "name": name,
        "namespace": schedule.namespace,
        "labels": {**(wanted.get("labels") or {}), SCHEDULE_LABEL: schedule.name},
    }
    if wanted.get("annotations"):
        meta["annotations"] = wanted["annotations"]
    return {"apiVersion": API_VERSION, "kind": "TaskRun", "metadata": meta, "spec": template["spec"]}


def _is_told(refused: Standing, schedule: ScheduleRecord, progress: Progress) -> bool:
    """Whether it is what was said at the last try already. Of a name that is taken, each tick has its own."""
    if refused.reason is not ScheduleReason.CREATE_REFUSED:
        return False
    conditions = schedule.status.get("conditions") or ()
    return refused == progress.trouble or any(c.get("reason") == refused.reason for c in conditions)


def _runs_path(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/taskruns"
