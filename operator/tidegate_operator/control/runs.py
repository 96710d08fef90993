"""Runs as keys of the workqueue: what a decision looks at, and how its actions are carried out.

A run that waits only for a queue is let in when all that is known has been decided on, so that no slot is given away on half a
picture.
"""

import time
from collections.abc import Callable
from functools import partial

from tidegate_operator.control.actions import Actor
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import Action, Decision, DecisionContext, StartAttempt
from tidegate_operator.policies.leftovers import decide_leftovers
from tidegate_operator.records.faults import Fault, FaultError, Ref
from tidegate_operator.records.run import RunRecord
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import queue_key, run_key

KIND = "taskruns"


class Reconciler:
    """Decides on runs and has the decisions carried out."""

    def __init__(
        self,
        cache: Cache,
        actor: Actor,
        workqueue: Workqueue,
        *,
        settings: OperatorSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._actor, self._workqueue = cache, actor, workqueue
        self._settings, self._metrics, self._clock = settings, metrics, clock
        self._asked: list[str] = []
        """Runs that wait in their queue's line, since `drained` was last called."""
        workqueue.also_wake(lambda: cache.admission.wake_at)

    def ref(self, ident: str) -> Ref:
        """The run's names."""
        run = self._cache.runs.get(ident)
        if run is None:
            return Ref(kind=KIND, namespace="", name="", uid=ident)
        return Ref(kind=KIND, namespace=run.namespace, name=run.name, uid=ident)

    def decide(self, ident: str) -> Work:
        """What to do for the run now."""
        begin = time.perf_counter()
        now = self._clock()
        run = self._cache.runs.get(ident)
        if run is not None and run.fault is not None and not run.status.phase.terminal:
            raise FaultError(run.fault)
        decision = decide(run, self.context(run, now), now) if run is not None else Decision()
        if run is None or run.status.phase.terminal:
            decide_leftovers(self._cache.attempts.of(ident), decision, now)
        self._queue_up(ident, run, decision)
        self._metrics.decide_seconds.observe(time.perf_counter() - begin)
        if decision.actions:
            return Work(partial(self._perform, run, decision.actions), decision.wake_at, deferrable=decision.lazy)
        if run is not None:
            self._asked.append(ident)
        return Work(wake_at=decision.wake_at) if decision.wake_at is not None else NOTHING

    def drained(self) -> None:
        """Let in whose turn has come."""
        now = self._clock()
        for entry in self._cache.admission.admit(now):
            run = self._cache.runs[entry.uid]
            pod_uid = self._cache.admission.pools.holder_of(run.uid)
            worker = ((run.namespace, entry.pool), pod_uid) if entry.pool and pod_uid is not None else None
            self._cache.track.starts(run, entry.number, worker=worker)
            key = run_key(run.uid)
            if self._workqueue.is_busy(key) or not self._workqueue.has_room(KIND):
                self._workqueue.add(key)
            else:
                start = StartAttempt(entry.number)
                self._workqueue.start(key, Work(partial(self._perform, run, [start])))
        for key, fault, error in self._cache.admission.take_faults():
            queue = self._cache.find_queue(*key)
            uid = queue.uid if queue is not None else ""
            self._cache.quarantine.put(Ref(kind="queues", namespace=key[0], name=key[1], uid=uid), fault, error)
            self._workqueue.add(queue_key(*key))
        asked, self._asked = self._asked, []
        for uid in asked:
            if (waiting := self._cache.runs.get(uid)) is not None:
                self._cache.track.waits(waiting)

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        """End a run of which nothing runs; what runs keeps its phase and its slot until its pod has ended."""
        run, now = self._cache.runs.get(ident), self._clock()
        self._cache.admission.withdraw(ident)
        decision = Decision()
        decide_leftovers(self._cache.attempts.of(ident), decision, now)
        if run is not None and run.tracked.starting:
            await self._actor.find_started(run)
        live = self._cache.attempts.holder(ident) is not None or (run is not None and run.tracked.starting)
        if run is not None and not live and not run.status.phase.terminal:
            await self._actor.fail_set_aside(run, fault)
            self._cache.quarantine.release(KIND, ident)
            return None
        await self._perform(run, decision.actions)
        return decision.wake_at if decision.wake_at is not None else now + self._settings.look_seconds if live else None

    async def recovered(self, ident: str) -> None:
        """The next write of its status leaves the condition out."""

    def context(self, run: RunRecord, now: float) -> DecisionContext:
        """What a decision on the run may look at."""
        cache, settings = self._cache, self._settings
        return DecisionContext(
            attempt=cache.attempts.latest(run.uid),
            has_orphan_pod=bool(run.tracked.posted_at) and cache.attempts.has_orphan_pod(run.uid),
            first_job=cache.under_way.first_began(run)
            if run.plan is not None and run.plan.deadline is not None
            else None,
            task=cache.task_of(run),
            find=partial(cache.find_run, run.namespace),
            has_dependents=cache.has_dependents(run),
            queue_cause=cache.admission.why(run.uid, now),
            max_disruptions=settings.max_disruptions,
            default_ttl=settings.ttl_seconds_after_finished,
            look_seconds=settings.look_seconds,
            deletes_due_by=settings.deletes_due_by(run.namespace, cache.projects),
            held=cache.schedules.holds(run),
        )

    def _queue_up(self, ident: str, run: RunRecord | None, decision: Decision) -> None:
        admission, entry = self._cache.admission, decision.entry
        if run is None or entry is None:
            admission.withdraw(ident)
            return
        first_asked = admission.ask(entry)
        self._cache.track.queues_up(run, queued_at=entry.queued_at if entry.first else None, first_asked=first_asked)

    async def _perform(self, run: RunRecord | None, actions: list[Action]) -> None:
        for action in actions:
            await self._actor.perform(run, action)
