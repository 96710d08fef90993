"""What the operator knows of the cluster: compact records by uid and owner, behind one door.

Everything that is seen comes in here, from watches, lists and the answers to our own writes; a record is never replaced by
an older one. Records change through the methods of this class and its indexes alone, and whatever changes says which key has
to be looked at again: `Cache(on_change=workqueue.add)`. An object that can't be parsed becomes a record that says so
(`quarantine.py`). Whether a run holds a slot is derived again from its records with everything that is seen of it.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, cast

from tidegate_api.bodies import (
    QueueBody,
    ScheduleBody,
    TaskBody,
    TaskRunBody,
    TaskRunStatusBody,
    WorkerPoolBody,
)
from tidegate_api.names import Phase
from tidegate_api.objects import KubeObject, ObjectMeta, PodBody

from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.decision import queue_name
from tidegate_operator.policies.payload import refuse_payload
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.records.definitions import QueueRecord, ScheduleRecord, TaskRecord
from tidegate_operator.records.faults import READING, Fault, Ref
from tidegate_operator.records.lenient import as_map, metadata_of
from tidegate_operator.records.pool import PoolRecord
from tidegate_operator.records.run import Projects, RunRecord
from tidegate_operator.state.attempts import AttemptIndex, Slot, Uids
from tidegate_operator.state.definition_index import DefinitionIndex, name_of
from tidegate_operator.state.dependents import Dependents
from tidegate_operator.state.handovers import HandoverIndex
from tidegate_operator.state.keys import Key, pool_key, queue_key, run_key, schedule_key
from tidegate_operator.state.pool_index import PoolIndex
from tidegate_operator.state.quarantine import Quarantine
from tidegate_operator.state.run_bodies import RunBodies
from tidegate_operator.state.run_tracker import RunTracker
from tidegate_operator.state.schedule_index import ScheduleIndex
from tidegate_operator.state.under_way import UnderWay

KINDS: Final = frozenset(
    {"taskruns", "tasks", "queues", "schedules", "workerpools", "jobs", "pods", "deployments", "workers"}
)
"""What has to be listed before anything is decided: `workers` are the pods of pools, `pods` those of Jobs."""

Record = RunRecord | TaskRecord | QueueRecord | ScheduleRecord | PoolRecord


class Cache:
    """Records of runs, what they refer to, and their attempts."""

    def __init__(
        self,
        admission: Admission | None = None,
        *,
        on_change: Callable[[Key], None] = lambda _: None,
        quarantine: Quarantine | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.quarantine = quarantine if quarantine is not None else Quarantine(Metrics())
        self.attempts = AttemptIndex(self.runs, self.quarantine)
        self.admission = admission if admission is not None else Admission()
        self.handovers = HandoverIndex(self.attempts, on_change=lambda uid: self._settled((uid,)))
        self.bodies = RunBodies()
        self.under_way = UnderWay(
            self.runs,
            self.attempts,
            self.handovers,
            self.admission,
            self.bodies,
            settled=self._settled,
            clock=clock,
        )
        self.pools = PoolIndex(self.admission.pools, on_change=lambda key: self.on_change(pool_key(*key)))
        self.dependents = Dependents()
        self.schedules = ScheduleIndex(on_change=lambda key: self.on_change(schedule_key(*key)))
        self.projects: Projects | None = None
        """Namespaces that the web app sees, where that isn't all; None before they were listed."""
        self.on_change = on_change
        self.on_complete: Callable[[], None] = lambda: None
        """Called once all kinds have been listed."""
        self.track = RunTracker(self.admission, self.bodies, task_of=self.task_of, settle=self.settle, clock=clock)
        self._clock = clock
        self._synced: set[str] = set()
        self._names: dict[tuple[str, str], str] = {}
        self._definitions = DefinitionIndex()

    @property
    def complete(self) -> bool:
        """Whether all kinds have been listed. Nothing is decided before."""
        return self._synced >= KINDS

    def is_synced(self, kind: str) -> bool:
        """Whether all objects of a kind have been handed in once."""
        return kind in self._synced

    # The door

    def upserted(self, kind: str, body: KubeObject) -> None:
        """An object of `kind` (a plural) is as given. Never raises."""
        try:
            match kind:
                case "taskruns":
                    self._put_run(cast("TaskRunBody", body))
                case "tasks":
                    self._put_task(cast("TaskBody", body))
                case "queues":
                    self._put_queue(cast("QueueBody", body))
                case "schedules":
                    self._changed(self.schedules.put(cast("ScheduleBody", body)))
                case "workerpools":
                    self.pools.put_pool(cast("WorkerPoolBody", body))
                case "deployments" | "workers":
                    self.pools.upserted(kind, body)
                case "jobs":
                    self.under_way.put_job(body["metadata"])
                case "pods":
                    self._settled(self.attempts.put_pod(cast("PodBody", body), now=self._clock()))
        except Exception as error:
            self._set_aside(kind, body, error)
        else:
            if not self.quarantine.is_empty and kind != "pods":
                self.quarantine.release(kind, body["metadata"]["uid"], doing=READING)

    def deleted(self, kind: str, body: KubeObject) -> None:
        """An object of `kind` is gone, or has left the selector of its watch. Never raises."""
        ref = Ref.of(kind, metadata_of(body))
        try:
            if kind == "pods":
                self._settled(self.attempts.pod_deleted(cast("PodBody", body), now=self._clock()))
            else:
                self.forget(kind, namespace=ref.namespace, name=ref.name, uid=ref.uid)
            self.quarantine.release(kind, ref.uid)
        except Exception as error:
            self.quarantine.put(ref, Fault.of("forgetting it", error), error)

    def synced(self, kind: str) -> None:
        """All objects of `kind` have been handed in."""
        first = not self.complete
        self._synced.add(kind)
        if self.complete and first:
            self._settled(self.attempts.adopt_all())
            self.look_at_all()
            self.on_complete()

    def look_at_all(self) -> None:
        """Every run has to be decided on."""
        self._changed(tuple(self.runs))

    def _set_aside(self, kind: str, body: KubeObject, error: Exception) -> None:
        """Keep an object that can't be parsed, so that whatever depends on it knows."""
        fault = Fault.of(READING, error)
        meta = metadata_of(body)
        ref = Ref.of(kind, meta)
        said = as_map(as_map(body).get("status")).get("phase")
        phase = next((phase for phase in Phase if phase == said), Phase.PENDING)
        if kind != "taskruns" or not phase.terminal:  # nothing has to be done for a run that has ended
            self.quarantine.put(ref, fault, error)
        try:
            if kind == "taskruns":
                self._put_unreadable_run(meta, phase=phase, fault=fault)
            elif kind == "queues":
                self.admission.set_aside(ref.namespace, ref.name, fault, now=self._clock())
                self.on_change(queue_key(ref.namespace, ref.name))
            elif kind == "schedules":
                self.schedules.put_unreadable(meta, fault=fault)
        except Exception as further:  # not even its names can be read: nothing refers to such an object
            self.quarantine.put(ref, Fault.of("keeping it", further), further)

    def _changed(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self.on_change(run_key(uid))

    def _settled(self, uids: Uids) -> None:
        for uid in uids:
            self.settle(uid)
            self.on_change(run_key(uid))

    # Runs

    def _put_run(self, body: TaskRunBody) -> None:
        now, meta, spec = self._clock(), body["metadata"], body["spec"]
        if not self._is_news(meta):
            return
        uid, run, status = meta["uid"], self.runs.get(meta["uid"]), body.get("status") or {}
        was = run.status.phase if run is not None else None
        if run is None or run.fault is not None:
            run = self.runs[uid] = RunRecord.parse(body, now=now)
        else:
            run.update(body, now=now)
        self._names[(run.namespace, run.name)] = uid
        fresh = not run.status.phase.terminal and not run.status.attempts
        run.refusal = refuse_payload(spec.get("payload") or {}) if fresh else None
        latest = self.attempts.latest(uid)
        self.bodies.drop(uid)
        if fresh and latest is None:
            self.bodies.put(uid, body)
            if not self.attempts.settled:
                # At the start all runs are read before any is decided on: their bodies together would be a great deal.
                self.bodies.pack(uid)
        self._took(run, meta, was, status)

    def _put_unreadable_run(self, meta: ObjectMeta, *, phase: Phase, fault: Fault) -> None:
        if not self._is_news(meta, again=True):
            return
        known = self.runs.get(meta["uid"])
        if known is not None:
            self.dependents.forget(known)
        self.bodies.drop(meta["uid"])
        run = RunRecord.unreadable(meta, phase=phase, fault=fault, now=self._clock())
        self.runs[run.uid] = run
        self._names[(run.namespace, run.name)] = run.uid
        self._took(run, meta, known.status.phase if known is not None else None, {})

    def _is_news(self, meta: ObjectMeta, *, again: bool = False) -> bool:
        """Whether a TaskRun says more than its record. A record of another run that had the name is dropped.

        `again`: the version of the record counts as news.
        """
        uid, version = meta["uid"], int(meta["resourceVersion"])
        run = self.runs.get(uid)
        if run is not None and (run.version > version or (run.version == version and run.fault is None and not again)):
            return False
        before = self._names.get(name_of(meta))
        if before is not None and before != uid:
            if (other := self.runs.get(before)) is not None and other.version > version:
                return False  # a late echo of an object whose name is used again
            self.drop_run(before)
        return True

    def wrote_status(self, run: RunRecord, meta: ObjectMeta, status: TaskRunStatusBody, *, written_on: int) -> None:
        """Our own write of the status is through, made on version `written_on`: all else is as it was at that version.

        `meta`: the object's metadata in the answer.
        """
        if self.runs.get(run.uid) is not run or run.version != written_on:
            return  # the watch was faster, and may know more
        was = run.status.phase
        run.take_status(meta, status)
        self._took(run, meta, was, status)

    def _took(self, run: RunRecord, meta: ObjectMeta, was: Phase | None, status: TaskRunStatusBody) -> None:
        """What follows from a run's new state; `was`: its phase before, None for one never seen."""
        uid, ended = run.uid, run.status.phase.terminal
        self.under_way.note_handover(run, status.get("resolvedTask"))
        latest = self.attempts.latest(uid)
        if latest is not None:
            run.plan, latest.recorded_start = latest.plan, run.status.started(latest.number)
        self.schedules.note(run, meta, ended=ended and was is not None and not was.terminal)
        self.dependents.note(run)
        if ended:
            self.bodies.drop(uid)
            self.admission.withdraw(uid)
            self.attempts.retire(uid)
        self.settle(uid)
        self.on_change(run_key(uid))
        if was is None or (ended and was is not run.status.phase):
            self._changed(self.dependents.of(run))
            if ended:
                self._changed(self._upstream_of(run))

    def drop_run(self, uid: str) -> None:
        """A TaskRun is gone. Its Jobs are collected by the cluster; while something of them runs it holds its slot."""
        run = self.runs.pop(uid, None)
        if run is None:
            return
        self.bodies.drop(uid)
        if self._names.get((run.namespace, run.name)) == uid:
            del self._names[(run.namespace, run.name)]
        self.schedules.forget(run)
        self.dependents.forget(run)
        self.admission.withdraw(uid)
        self.handovers.run_is_gone(uid)
        # What is given to a worker is written into the run first: with the run gone, it never is.
        sent = run.tracked.posted_at and run.tracked.worker is None
        if run.tracked.starting and sent and not run.status.phase.terminal:
            self.attempts.add_unconfirmed(run, queue=queue_name(run, self.task_of(run)))
        self.attempts.retire(uid)
        self.settle(uid)
        self.on_change(run_key(uid))
        if not run.status.phase.terminal:
            self._changed(self._upstream_of(run))
        self._changed(self.dependents.of(run))

    def find_run(self, namespace: str, name: str) -> RunRecord | None:
        """The run that has the name now."""
        return self.runs.get(self._names.get((namespace, name), ""))

    def has_dependents(self, run: RunRecord) -> bool:
        """Whether a run that goes on depends on this one."""
        return bool(self.dependents.of(run))

    def count_runs(self) -> dict[Phase, int]:
        """Live runs by phase."""
        counts = {phase: 0 for phase in Phase if not phase.terminal}
        for run in self.runs.values():
            if not run.status.phase.terminal:
                counts[run.status.phase] += 1
        return counts

    def settle(self, uid: str) -> None:
        """Derive again whether the run holds a slot."""
        self.attempts.adopt(uid)
        run = self.runs.get(uid)
        if run is not None and run.status.phase.terminal:
            run = None
        holder = self.attempts.holder(uid)
        if holder is None and run is not None and run.tracked.starting:
            queue = queue_name(run, self.task_of(run))
            holder = Slot(run.namespace, queue, run.concurrency_key, run.tracked.worker)
        if holder is not None:
            self.admission.hold(
                uid, namespace=holder.namespace, queue=holder.queue, key=holder.key, worker=holder.worker
            )
            return
        self.admission.free(uid)
        if run is None:
            self.attempts.retire(uid)

    def _upstream_of(self, run: RunRecord) -> Uids:
        """Finished runs that were kept for this one."""
        found = [r for name, _ in run.depends_on if (r := self.find_run(run.namespace, name)) is not None]
        for upstream in found:
            if upstream.schedule is not None:
                self.on_change(schedule_key(upstream.namespace, upstream.schedule))
        return tuple(r.uid for r in found)

    # What runs refer to

    def _put_task(self, body: TaskBody) -> None:
        """A Task was seen: runs that waited for it can go on."""
        if (task := self._definitions.put_task(body)) is None:
            return
        waiting = (r for r in self.runs.values() if r.status.phase is Phase.PENDING)
        self._changed([r.uid for r in waiting if r.task_ref == task.name and r.namespace == task.namespace])

    def task_of(self, run: RunRecord) -> TaskRecord | None:
        """The Task that a run refers to, when it is there."""
        return self._definitions.tasks.get((run.namespace, run.task_ref)) if run.task_ref else None

    def _put_queue(self, body: QueueBody) -> None:
        key = name_of(body["metadata"])
        is_new = key not in self._definitions.queues
        set_aside = self.quarantine.find("queues", body["metadata"]["uid"]) is not None
        queue = self._definitions.put_queue(body, again=set_aside)
        if queue is None:
            return
        self.admission.set_queue(*key, spec=queue.spec, bucket=queue.status.get("rateBucket"))
        self.on_change(queue_key(*key))
        if is_new:
            # Runs that wait for a Queue to appear say so; what else changes in it, admission sees to.
            self._changed(self.admission.waiting_in(*key))

    def find_queue(self, namespace: str, name: str) -> QueueRecord | None:
        """One Queue."""
        return self._definitions.queues.get((namespace, name))

    # What a sweep compares with its lists

    def records(self, kind: str) -> list[Record]:
        """All records of one of our kinds."""
        if kind == "taskruns":
            return list(self.runs.values())
        if kind == "schedules":
            return list(self.schedules.records.values())
        if kind == "workerpools":
            return list(self.pools.pools.values())
        return list(self._definitions.records(kind))

    def forget(self, kind: str, *, namespace: str, name: str, uid: str) -> None:
        """An object of one of our kinds is no longer in the cluster."""
        key = (namespace, name)
        if kind == "taskruns":
            self.drop_run(uid)
        elif kind == "schedules":
            self._changed(self.schedules.drop(namespace, name, uid=uid))
        elif kind == "workerpools":
            self.pools.drop_pool(namespace, name, uid=uid)
        elif kind == "deployments":
            self.pools.drop_deployment(uid)
        elif kind == "workers":
            self.pools.drop_worker(uid)
        elif kind == "tasks":
            self._definitions.drop_task(key, uid=uid)
        elif kind == "queues" and self._definitions.drop_queue(key, uid=uid):
            self.admission.drop_queue(namespace, name)
            self._changed(self.admission.waiting_in(namespace, name))
            self.on_change(queue_key(namespace, name))
        self.quarantine.release(kind, uid)

    # Pods

    def missing_pods(self, listed: Iterable[str], *, version: int, namespace: str | None = None) -> None:
        """A list at `version` (of `namespace`) had only these pods: attempts of others have to be looked into."""
        self._settled(self.attempts.unlisted_pods(listed, version=version, namespace=namespace))
