"""What the supervisor knows of the cluster: compact records by uid and owner. Counts are derived, never stored.

Everything that is seen comes in here, from watches, lists and the answers to our own writes; a record is never replaced by
an older one. Each `put_…` answers with the uids of the runs that have to be looked at again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tidegate_api.names import DEFAULT_QUEUE, RUN_UID_LABEL, Phase

from tidegate_operator.manifests import job_name
from tidegate_operator.policies.payload import refuse_payload
from tidegate_operator.policies.support import refuse_run
from tidegate_operator.records import (
    AttemptRecord,
    Json,
    NamedRecord,
    Plan,
    PodRecord,
    RunRecord,
    StatusRecord,
    TaskRecord,
    attempt_number,
    controller_of,
    parse_pod,
    task_spec_of,
)
from tidegate_operator.timestamps import parse_time

KINDS: Final = frozenset({"taskruns", "tasks", "queues", "schedules", "jobs", "pods"})

Key = tuple[str, str]
Seen = RunRecord | TaskRecord | NamedRecord
Uids = tuple[str, ...]


class Cache:
    """Records of runs, what they refer to, and their attempts."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.synced: set[str] = set()
        """Kinds that have been listed whole since the start. Nothing is decided before all are."""
        self._names: dict[Key, str] = {}
        self._tasks: dict[Key, TaskRecord] = {}
        self._named: dict[str, dict[Key, NamedRecord]] = {"queues": {}, "schedules": {}}
        self._attempts: dict[str, dict[int, AttemptRecord]] = {}
        self._by_job: dict[str, AttemptRecord] = {}
        self._by_pod: dict[str, AttemptRecord] = {}
        self._strays: dict[str, dict[str, PodRecord]] = {}
        """Pods of Jobs that are not known (yet, or any more), by the run that they claim."""
        self._plans: dict[Plan, Plan] = {}

    @property
    def complete(self) -> bool:
        """Whether all kinds have been listed."""
        return self.synced >= KINDS

    # Runs

    def put_run(self, body: Json, *, now: float) -> Uids:
        """A TaskRun was seen."""
        meta, spec = body["metadata"], body["spec"]
        uid, version = meta["uid"], int(meta["resourceVersion"])
        known = self.runs.get(uid)
        if known is not None and known.version >= version:
            return ()
        status = StatusRecord.parse(body.get("status") or {})
        key = (meta["namespace"], meta["name"])
        before = self._names.get(key)
        if before is not None and before != uid:
            if (other := self.runs.get(before)) is not None and other.version > version:
                return ()  # a late echo of an object whose name is used again
            self.drop_run(before)
        self._names[key] = uid
        fresh = not status.phase.terminal and not status.attempts
        if known is None:
            known = self.runs[uid] = RunRecord(
                uid=uid,
                namespace=key[0],
                name=key[1],
                version=version,
                generation=meta.get("generation", 1),
                created=parse_time(meta["creationTimestamp"]) or now,
                seen=now,
                task_ref=(spec.get("taskRef") or {}).get("name"),
                queue=spec.get("queue") or (spec.get("task") or {}).get("queue"),
                cancel=bool(spec.get("cancel")),
                ttl=spec.get("ttlSecondsAfterFinished"),
                refusal=refuse_run(spec) or (refuse_payload(spec.get("payload") or {}) if fresh else None),
                status=status,
            )
        else:
            known.version, known.status = version, status
            known.generation = meta.get("generation", 1)
            known.cancel, known.ttl = bool(spec.get("cancel")), spec.get("ttlSecondsAfterFinished")
            known.refusal = refuse_run(spec) or (refuse_payload(spec.get("payload") or {}) if fresh else None)
        known.body = body if fresh and uid not in self._attempts else None
        if status.phase.terminal:
            self._retire(uid)
        return (uid,)

    def drop_run(self, uid: str) -> None:
        """A TaskRun is gone. Its attempts go with it: their Jobs are collected by the cluster."""
        run = self.runs.pop(uid, None)
        if run is not None and self._names.get((run.namespace, run.name)) == uid:
            del self._names[(run.namespace, run.name)]
        self._retire(uid)

    def count_runs(self) -> dict[Phase, int]:
        """Live runs by phase."""
        counts = {phase: 0 for phase in Phase if not phase.terminal}
        for run in self.runs.values():
            if not run.status.phase.terminal:
                counts[run.status.phase] += 1
        return counts

    # What a sweep compares with its lists

    def records(self, kind: str) -> list[Seen]:
        """All records of one of our kinds."""
        if kind == "taskruns":
            return list(self.runs.values())
        return list(self._tasks.values() if kind == "tasks" else self._named[kind].values())

    def drop(self, kind: str, record: Seen) -> None:
        """Forget a record that is no longer in the cluster."""
        if kind == "taskruns":
            self.drop_run(record.uid)
        elif kind == "tasks":
            self.drop_task(record.namespace, record.name, uid=record.uid)
        else:
            self.drop_named(kind, record.namespace, record.name, uid=record.uid)

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
        """A Queue or Schedule was seen: its record, or None when nothing is new."""
        meta = body["metadata"]
        key, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        if (known := self._named[kind].get(key)) is not None and known.version >= version:
            return None
        made = self._named[kind][key] = NamedRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=version,
            generation=meta.get("generation", 1),
            spec=body["spec"],
            conditions=(body.get("status") or {}).get("conditions") or [],
        )
        return made

    def drop_named(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """A Queue or Schedule is gone."""
        if (known := self._named[kind].get((namespace, name))) is not None and known.uid == uid:
            del self._named[kind][(namespace, name)]

    def queue_of(self, run: RunRecord) -> NamedRecord | None:
        """The Queue that a run waits in, when there is such an object."""
        task = self.task_of(run)
        name = run.queue or (task.spec.get("queue") if task else None) or DEFAULT_QUEUE
        return self._named["queues"].get((run.namespace, name))

    # Attempts

    def put_job(self, meta: Mapping[str, Any], *, now: float, plan: Plan | None = None) -> Uids:
        """A Job was seen or made. Only its metadata is looked at."""
        run_uid, number = controller_of(meta, kind="TaskRun"), attempt_number(meta)
        run = self.runs.get(run_uid) if run_uid else None
        if run is None or number is None or run.status.phase.terminal or meta["uid"] in self._by_job:
            return ()
        if plan is None:
            text = task_spec_of(meta)
            plan = Plan.of(json.loads(text)) if text else Plan()
        plan = self._plans.setdefault(plan, plan)
        attempt = AttemptRecord(
            run_uid=run.uid,
            namespace=run.namespace,
            number=number,
            job_name=meta["name"],
            job_uid=meta["uid"],
            created=min(now, parse_time(meta["creationTimestamp"]) or now),
            plan=plan,
        )
        self.add_attempt(attempt)
        return (run.uid,)

    def add_attempt(self, attempt: AttemptRecord) -> None:
        """An attempt, with the pods of its Job that were seen before it."""
        self._attempts.setdefault(attempt.run_uid, {})[attempt.number] = attempt
        self._by_job[attempt.job_uid] = attempt
        if (run := self.runs.get(attempt.run_uid)) is not None:
            run.plan, run.body, run.refused = attempt.plan, None, None
        strays = self._strays.get(attempt.run_uid, {})
        for pod in [p for p in strays.values() if p.job_uid == attempt.job_uid]:
            attempt.pods[pod.uid] = strays.pop(pod.uid)
            self._by_pod[pod.uid] = attempt

    def latest_attempt(self, run_uid: str) -> AttemptRecord | None:
        """The attempt with the highest number."""
        attempts = self._attempts.get(run_uid)
        return attempts[max(attempts)] if attempts else None

    def attempts(self) -> Iterator[AttemptRecord]:
        """Every attempt of a live run."""
        return iter(list(self._by_job.values()))

    def put_pod(self, body: Json, *, now: float) -> Uids:
        """A pod was seen. It belongs to an attempt when its controller is that attempt's Job, and stays so by its uid."""
        meta = body["metadata"]
        job_uid = controller_of(meta, kind="Job")
        attempt = self._by_pod.get(meta["uid"]) or (self._by_job.get(job_uid) if job_uid else None)
        if attempt is None:
            return self._put_stray(body, job_uid=job_uid, now=now)
        known = attempt.pods.get(meta["uid"])
        pod = parse_pod(body, job_uid=attempt.job_uid, received=now)
        if known is not None:
            if known.version > pod.version:
                return ()
            if known.phase == pod.phase:
                pod.received = known.received
        attempt.pods[pod.uid] = pod
        self._by_pod[pod.uid] = attempt
        return (attempt.run_uid,)

    def pod_deleted(self, body: Json, *, now: float) -> Uids:
        """The watch says that a pod is gone, or that it has only left the selector."""
        meta = body["metadata"]
        uids = self.put_pod(body, now=now)
        attempt = self._by_pod.get(meta["uid"])
        if attempt is None:
            run_uid = _claimed_run(meta)
            return (run_uid,) if self._strays.get(run_uid, {}).pop(meta["uid"], None) else ()
        pod = attempt.pods[meta["uid"]]
        if not pod.terminal and "deletionTimestamp" not in meta:
            attempt.looked_at = float("-inf")  # look at once: it may still run
            attempt.unwatched = True
            pod.phase = "Unknown"
            return (attempt.run_uid,)
        pod.gone = True
        return uids or (attempt.run_uid,)

    def unlisted_pods(self, listed: Iterable[str], *, version: int) -> Uids:
        """Pods that a list at `version` didn't have: their attempts have to be looked into."""
        seen, marked = set(listed), []
        for uid, attempt in self._by_pod.items():
            pod = attempt.pods[uid]
            if uid not in seen and not pod.terminal and pod.version <= version and pod.phase != "Pending":
                attempt.looked_at = float("-inf")
                pod.phase = "Unknown"
                marked.append(attempt.run_uid)
        for run_uid, strays in self._strays.items():
            for pod in [p for p in strays.values() if p.uid not in seen and p.version <= version]:
                del strays[pod.uid]
                marked.append(run_uid)
        return tuple(marked)

    def has_stray(self, run_uid: str) -> bool:
        """Whether a pod of the run lives whose Job is gone: somebody deleted it, and nobody was there to see."""
        return any(not pod.terminal for pod in self._strays.get(run_uid, {}).values())

    def _put_stray(self, body: Json, *, job_uid: str | None, now: float) -> Uids:
        # The watch can be faster than the answer to our own POST of the Job, and the first list of pods than that of
        # Jobs and runs.
        meta = body["metadata"]
        run = self.runs.get(run_uid := _claimed_run(meta))
        if not job_uid or not run_uid or (run is None and self.complete):
            return ()
        if run is not None and (run.status.phase.terminal or not _is_named_for(run, meta)):
            return ()
        strays = self._strays.setdefault(run_uid, {})
        known, pod = strays.get(meta["uid"]), parse_pod(body, job_uid=job_uid, received=now)
        if known is not None and known.version > pod.version:
            return ()
        strays[pod.uid] = pod
        return (run_uid,)

    def forget_strangers(self) -> None:
        """Once all is listed: pods that claim runs which aren't there are nobody's."""
        for run_uid in [uid for uid in self._strays if uid not in self.runs]:
            del self._strays[run_uid]

    def _retire(self, run_uid: str) -> None:
        self._strays.pop(run_uid, None)
        for attempt in self._attempts.pop(run_uid, {}).values():
            self._by_job.pop(attempt.job_uid, None)
            for pod in attempt.pods:
                self._by_pod.pop(pod, None)


def _claimed_run(meta: Mapping[str, Any]) -> str:
    uid: str = (meta.get("labels") or {}).get(RUN_UID_LABEL, "")
    return uid


def _is_named_for(run: RunRecord, meta: Mapping[str, Any]) -> bool:
    """Whether the pod's controller has the name of one of the run's Jobs: a label alone says nothing."""
    number = attempt_number(meta)
    if number is None:
        return False
    wanted = job_name(run=run.name, run_uid=run.uid, number=number)
    return any(o.get("controller") and o.get("name") == wanted for o in meta.get("ownerReferences") or ())
