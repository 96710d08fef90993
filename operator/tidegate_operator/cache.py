"""What the supervisor knows of the cluster: compact records by uid and owner.

Everything that is seen comes in here, from watches, lists and the answers to our own writes; a record is never replaced by
an older one. Each `put_…` answers with the uids of the runs that have to be looked at again. Whether a run holds a slot is
derived anew from its records with everything that is seen of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tidegate_api.names import DEFAULT_QUEUE, QUEUE_LABEL, Phase

from tidegate_operator.attempts import AttemptIndex, Uids
from tidegate_operator.parsing import attempt_number, controller_of
from tidegate_operator.policies.admission import Admission
from tidegate_operator.policies.decision import queue_name
from tidegate_operator.policies.payload import refuse_payload
from tidegate_operator.records import (
    AttemptRecord,
    Json,
    NamedRecord,
    Plan,
    Projects,
    RunRecord,
    ScheduleRecord,
    TaskRecord,
)
from tidegate_operator.schedule_index import ScheduleIndex
from tidegate_operator.timestamps import parse_time

KINDS: Final = frozenset({"taskruns", "tasks", "queues", "schedules", "jobs", "pods"})

Key = tuple[str, str]
Seen = RunRecord | TaskRecord | NamedRecord | ScheduleRecord


class Cache:
    """Records of runs, what they refer to, and their attempts."""

    def __init__(self, admission: Admission | None = None) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.attempts = AttemptIndex(self.runs)
        self.admission = admission or Admission()
        self.synced: set[str] = set()
        """Kinds that have been listed whole since the start. Nothing is decided before all are."""
        self.projects: Projects | None = None
        """Namespaces that the web part sees, where that isn't all; None before they were listed."""
        self._names: dict[Key, str] = {}
        self._tasks: dict[Key, TaskRecord] = {}
        self._named: dict[str, dict[Key, NamedRecord]] = {"queues": {}}
        self._dependents: dict[Key, set[str]] = {}
        """Runs that go on, by the names that they depend on."""
        self.schedules = ScheduleIndex()

    @property
    def complete(self) -> bool:
        """Whether all kinds have been listed."""
        return self.synced >= KINDS

    # Runs

    def put_run(self, body: Json, *, now: float) -> Uids:
        """A TaskRun was seen. Answers with the run, and with the runs that its phase may let go."""
        meta, spec = body["metadata"], body["spec"]
        uid, version = meta["uid"], int(meta["resourceVersion"])
        run = self.runs.get(uid)
        if run is not None and run.version >= version:
            return ()
        key = (meta["namespace"], meta["name"])
        before = self._names.get(key)
        if before is not None and before != uid:
            if (other := self.runs.get(before)) is not None and other.version > version:
                return ()  # a late echo of an object whose name is used again
            self.drop_run(before)
        self._names[key] = uid
        was = run.status.phase if run is not None else None
        if run is None:
            run = self.runs[uid] = RunRecord.parse(body, now=now)
        else:
            run.update(body, now=now)
        ended = run.status.phase.terminal
        fresh = not ended and not run.status.attempts
        run.refusal = refuse_payload(spec.get("payload") or {}) if fresh else None
        latest = self.attempts.latest(uid)
        # At the start all runs are read before any is decided on: their bodies together would be a great deal.
        run.body = body if fresh and latest is None and self.attempts.settled else None
        return self._took(run, meta, was)

    def wrote_status(self, run: RunRecord, meta: Json, status: Json, *, written_on: int) -> Uids:
        """Our own write of the status is through, made on version `written_on`: all else is as it was at that version.

        `meta`: the object's metadata in the answer. Answers as `put_run` does.
        """
        if self.runs.get(run.uid) is not run or run.version != written_on:
            return ()  # the watch was faster, and may know more
        was = run.status.phase
        run.take_status(meta, status)
        return self._took(run, meta, was)

    def _took(self, run: RunRecord, meta: Json, was: Phase | None) -> Uids:
        """What follows from a run's new state; `was`: its phase before, None for one never seen."""
        uid, ended = run.uid, run.status.phase.terminal
        latest = self.attempts.latest(uid)
        if latest is not None:
            run.plan, latest.told_start = latest.plan, run.status.started(latest.number)
        self.schedules.note(run, meta, ended=ended and was is not None and not was.terminal)
        self._note_dependencies(run)
        marked = (uid, *self._woken_by(run)) if was is None or (ended and was is not run.status.phase) else (uid,)
        if ended:
            run.body = None
            self.admission.withdraw(uid)
            self.attempts.retire(uid)
        self.settle(uid)
        return marked

    def drop_run(self, uid: str) -> Uids:
        """A TaskRun is gone. Its Jobs are collected by the cluster; while something of them runs it holds its slot."""
        run = self.runs.pop(uid, None)
        if run is None:
            return ()
        if self._names.get((run.namespace, run.name)) == uid:
            del self._names[(run.namespace, run.name)]
        self.schedules.forget(run)
        self._forget_dependencies(run)
        self.admission.withdraw(uid)
        if run.starting and run.posted_at and not run.status.phase.terminal:
            self.attempts.suppose(run, queue=queue_name(run, self.task_of(run)))
        self.attempts.retire(uid)
        self.settle(uid)
        freed = self._upstream_of(run) if not run.status.phase.terminal else ()
        return (uid, *freed, *self._dependents.get((run.namespace, run.name), ()))

    def find_run(self, namespace: str, name: str) -> RunRecord | None:
        """The run that has the name now."""
        return self.runs.get(self._names.get((namespace, name), ""))

    def count_runs(self) -> dict[Phase, int]:
        """Live runs by phase."""
        counts = {phase: 0 for phase in Phase if not phase.terminal}
        for run in self.runs.values():
            if not run.status.phase.terminal:
                counts[run.status.phase] += 1
        return counts

    def settle(self, uid: str) -> None:
        """Derive anew whether the run holds a slot."""
        self.attempts.adopt(uid)
        run = self.runs.get(uid)
        if run is not None and run.status.phase.terminal:
            run = None
        holder = self.attempts.holder(uid)
        if holder is None and run is not None and run.starting:
            holder = (run.namespace, queue_name(run, self.task_of(run)), run.concurrency_key)
        if holder is not None:
            namespace, queue, key = holder
            self.admission.hold(uid, namespace=namespace, queue=queue, key=key)
            return
        self.admission.free(uid)
        if run is None:
            self.attempts.retire(uid)

    # Dependencies

    def has_dependents(self, run: RunRecord) -> bool:
        """Whether a run that goes on depends on this one."""
        return bool(self._dependents.get((run.namespace, run.name)))

    def _note_dependencies(self, run: RunRecord) -> None:
        if run.status.phase.terminal:
            self._forget_dependencies(run)
            return
        for name, _ in run.depends_on:
            self._dependents.setdefault((run.namespace, name), set()).add(run.uid)

    def _forget_dependencies(self, run: RunRecord) -> None:
        for name, _ in run.depends_on:
            waiting = self._dependents.get((run.namespace, name))
            if waiting is not None:
                waiting.discard(run.uid)
                if not waiting:
                    del self._dependents[(run.namespace, name)]

    def _woken_by(self, run: RunRecord) -> Uids:
        """Who has to be looked at when the run has appeared or ended: those that wait for it, and what it needed."""
        freed = self._upstream_of(run) if run.status.phase.terminal else ()
        return (*self._dependents.get((run.namespace, run.name), ()), *freed)

    def _upstream_of(self, run: RunRecord) -> Uids:
        """Finished runs that were kept for this one."""
        found = [r for name, _ in run.depends_on if (r := self.find_run(run.namespace, name)) is not None]
        for upstream in found:
            if upstream.schedule is not None:
                self.schedules.on_change((upstream.namespace, upstream.schedule))
        return tuple(r.uid for r in found)

    # What a sweep compares with its lists

    def records(self, kind: str) -> list[Seen]:
        """All records of one of our kinds."""
        if kind == "taskruns":
            return list(self.runs.values())
        if kind == "schedules":
            return list(self.schedules.records.values())
        return list(self._tasks.values() if kind == "tasks" else self._named[kind].values())

    def drop(self, kind: str, record: Seen) -> Uids:
        """Forget a record that is no longer in the cluster."""
        if kind == "taskruns":
            return self.drop_run(record.uid)
        if kind == "tasks":
            self.drop_task(record.namespace, record.name, uid=record.uid)
            return ()
        if kind == "schedules":
            return self.schedules.drop(record.namespace, record.name, uid=record.uid)
        return self.drop_named(kind, record.namespace, record.name, uid=record.uid)

    # What runs refer to

    def put_task(self, body: Json) -> Uids:
        """A Task was seen: runs that waited for it can go on."""
        meta = body["metadata"]
        key, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        if (known := self._tasks.get(key)) is not None and known.version >= version:
            return ()
        self._tasks[key] = TaskRecord(
            uid=meta["uid"], namespace=key[0], name=key[1], version=version, spec=body["spec"]
        )
        return tuple(
            r.uid
            for r in self.runs.values()
            if r.task_ref == key[1] and r.namespace == key[0] and r.status.phase is Phase.PENDING
        )

    def drop_task(self, namespace: str, name: str, *, uid: str) -> None:
        """A Task is gone."""
        if (known := self._tasks.get((namespace, name))) is not None and known.uid == uid:
            del self._tasks[(namespace, name)]

    def task_of(self, run: RunRecord) -> TaskRecord | None:
        """The Task that a run refers to, when it is there."""
        return self._tasks.get((run.namespace, run.task_ref)) if run.task_ref else None

    def put_named(self, kind: str, body: Json) -> NamedRecord | None:
        """A Queue was seen: its record, or None when nothing is new."""
        meta = body["metadata"]
        key, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        if (known := self._named[kind].get(key)) is not None and known.version >= version:
            return None
        status = body.get("status") or {}
        made = self._named[kind][key] = NamedRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=version,
            generation=meta.get("generation", 1),
            spec=body["spec"],
            status=status,
        )
        if kind == "queues":
            self.admission.set_queue(*key, spec=made.spec, bucket=status.get("rateBucket"))
        return made

    def drop_named(self, kind: str, namespace: str, name: str, *, uid: str) -> Uids:
        """A Queue is gone."""
        if (known := self._named[kind].get((namespace, name))) is not None and known.uid == uid:
            del self._named[kind][(namespace, name)]
            if kind == "queues":
                self.admission.drop_queue(namespace, name)
                return self.admission.waiting_in(namespace, name)
        return ()

    def find_named(self, kind: str, namespace: str, name: str) -> NamedRecord | None:
        """One Queue."""
        return self._named[kind].get((namespace, name))

    # Attempts

    def put_job(self, meta: Mapping[str, Any], *, now: float, plan: Plan | None = None) -> Uids:
        """A Job was seen or made. Only its metadata is looked at."""
        uid = controller_of(meta, kind="TaskRun") or ""
        run, number = self.runs.get(uid), attempt_number(meta)
        if plan is None and number == 1 and not self.attempts.settled:
            # Before this process was there somebody started it, and may not have written what is left of the rate.
            queue = (meta.get("labels") or {}).get(QUEUE_LABEL) or DEFAULT_QUEUE
            created = parse_time(meta["creationTimestamp"]) or now
            self.admission.started_before(meta["namespace"], queue, created=created)
        marked = self.attempts.put_job(meta, now=now, plan=plan)
        if run is not None and number is not None and number == run.starting:
            run.starting, run.posted_at = 0, 0.0
        if marked and (attempt := self.attempts.latest(uid)) is not None and run is not None:
            self._is_under_way(run, attempt)
        if marked:
            self.settle(uid)
        return marked

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """An attempt that is known only from its run's status."""
        self.attempts.add(attempt)
        if (run := self.runs.get(attempt.run_uid)) is not None:
            self._is_under_way(run, attempt)
        self.settle(attempt.run_uid)

    def put_pod(self, body: Json, *, now: float) -> Uids:
        """A pod was seen."""
        return self._settled(self.attempts.put_pod(body, now=now))

    def pod_deleted(self, body: Json, *, now: float) -> Uids:
        """The watch says that a pod is gone, or that it has only left the selector."""
        return self._settled(self.attempts.pod_deleted(body, now=now))

    def unlisted_pods(self, listed: Iterable[str], *, version: int, namespace: str | None = None) -> Uids:
        """Pods that a list at `version` (of `namespace`) didn't have: their attempts have to be looked into."""
        return self._settled(self.attempts.unlisted_pods(listed, version=version, namespace=namespace))

    def first_job(self, run: RunRecord) -> float | None:
        """When the Job of the first attempt was made; what is known of the attempt where the Job is gone."""
        if (first := self.attempts.get(run.uid, 1)) is not None and first.plan_known:
            return first.created
        return parse_time(run.status.attempts[0].get("startedAt")) if run.status.attempts else None

    def all_listed(self) -> Uids:
        """Everything has been listed once. Answers with the runs whose pods have lost their owner."""
        return self._settled(self.attempts.adopt_all())

    def _is_under_way(self, run: RunRecord, attempt: AttemptRecord) -> None:
        run.plan, run.body, run.refused = attempt.plan, None, None
        attempt.told_start = run.status.started(attempt.number)
        self.admission.withdraw(run.uid)

    def _settled(self, uids: Uids) -> Uids:
        for uid in uids:
            self.settle(uid)
        return uids
