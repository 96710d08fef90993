"""Which Jobs and pods are attempts of which run, and whether a run still has something that may run.

A pod belongs to an attempt when its controller is that attempt's Job, and stays so by its uid; labels only select. Attempts
outlive their run here: a slot is held until every pod is terminal or gone, also when the TaskRun or the Job was deleted.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, cast

from tidegate_api.bodies import TaskSpecBody
from tidegate_api.job_names import job_name
from tidegate_api.names import (
    AFTER_OOM_ANNOTATION,
    CONCURRENCY_KEY_ANNOTATION,
    DEFAULT_QUEUE,
    QUEUE_LABEL,
    RUN_LABEL,
    RUN_UID_LABEL,
)
from tidegate_api.objects import ObjectMeta, PodBody
from tidegate_api.ownership import controller_of, controller_uid
from tidegate_api.spec_hash import spec_hash

from tidegate_operator.policies.outcome import UNKNOWN, is_over
from tidegate_operator.records.attempt import AttemptRecord, PodRecord
from tidegate_operator.records.faults import READING, Fault, Ref
from tidegate_operator.records.parsing import attempt_number, job_created, parse_pod, pod_in_doubt, task_spec_of
from tidegate_operator.records.run import LATE_WRITE_SECONDS, Cause, Plan, RunRecord, Worker
from tidegate_operator.state.quarantine import Quarantine

KEPT_OF_ORPHANS = ("name", "namespace", "labels", "annotations", "ownerReferences")

Uids = tuple[str, ...]


class Slot(NamedTuple):
    """What a run holds while something of it may run."""

    namespace: str
    queue: str
    key: str
    worker: Worker | None = None


class AttemptIndex:
    """Attempts by run, Job and pod."""

    def __init__(self, runs: Mapping[str, RunRecord], quarantine: Quarantine) -> None:
        self._runs, self._quarantine = runs, quarantine
        self.settled = False
        """Whether all runs and Jobs have been listed: what belongs to none of them has lost its owner."""
        self._attempts: dict[str, dict[str, AttemptRecord]] = {}
        """By run and Job: two Jobs can have one number, where the first was deleted before anything was written of it."""
        self._by_job: dict[str, AttemptRecord] = {}
        self._by_pod: dict[str, AttemptRecord] = {}
        self._orphans: dict[str, dict[str, tuple[PodRecord, ObjectMeta]]] = {}
        """Pods of Jobs that aren't known yet, with their metadata, by the run that they claim."""
        self._plans: dict[Plan, Plan] = {}

    def of(self, run_uid: str) -> Iterable[AttemptRecord]:
        """All attempts of a run that may still matter."""
        return self._attempts.get(run_uid, {}).values()

    def latest(self, run_uid: str) -> AttemptRecord | None:
        """The attempt with the highest number."""
        attempts = self._attempts.get(run_uid)
        if not attempts:
            return None
        if len(attempts) == 1:
            return next(iter(attempts.values()))
        return max(attempts.values(), key=lambda a: (a.number, a.created))

    def get(self, run_uid: str, number: int) -> AttemptRecord | None:
        """The first Job of that number."""
        found = (a for a in self.of(run_uid) if a.number == number)
        return min(found, key=lambda a: a.created, default=None)

    def all(self) -> Iterator[AttemptRecord]:
        """Every attempt."""
        return iter(list(self._by_job.values()))

    def holder(self, run_uid: str) -> Slot | None:
        """The slot that a run's attempts and pods hold, or None when all of them are over."""
        for attempt in self.of(run_uid):
            if not self._is_over(attempt):
                return Slot(attempt.namespace, attempt.plan.queue, attempt.key, attempt.worker)
        for pod, meta in self._orphans.get(run_uid, {}).values():
            if not pod.terminal:
                return Slot(meta["namespace"], queue_of(meta), _key_of(meta))
        return None

    def _is_over(self, attempt: AttemptRecord) -> bool:
        """Whether nothing of it runs or will. A Job that has ended and whose pod is gone looks like one that has made none yet;
        the run's status knows better."""
        run = self._runs.get(attempt.run_uid)
        if run is not None and not attempt.pods and (run.status.phase.terminal or run.status.ended(attempt.number)):
            return True
        return is_over(attempt)

    def has_orphan_pod(self, run_uid: str) -> bool:
        """Whether a pod of the run lives whose Job isn't known."""
        return any(not pod.terminal for pod, _ in self._orphans.get(run_uid, {}).values())

    # Jobs

    def put_job(self, meta: ObjectMeta, *, now: float, spec: TaskSpecBody | None = None) -> Uids:
        """A Job was seen or made. Only its metadata is looked at. `spec`: the TaskSpec that it was made with just now."""
        run_uid, number = controller_uid(meta, kind="TaskRun"), attempt_number(meta)
        if run_uid is None or number is None:
            return ()
        run = self._runs.get(run_uid)
        if run is not None and run.status.phase.terminal:
            return ()  # nothing of it may run any more, or it would not have ended
        known = self._by_job.get(meta["uid"])
        if known is not None and known.plan_known:
            return ()
        if spec is None:
            spec = task_spec_of(meta)
        # One that was edited into no spec at all still says by its label which queue's slot its pod holds.
        plan = Plan.of(spec) if spec is not None else Plan(queue=queue_of(meta))
        plan = self.shared(plan)
        if known is not None:
            known.plan, known.plan_known, known.spec_hash = plan, True, spec_hash(spec) if spec is not None else None
            return (run_uid,)
        self.add(
            AttemptRecord(
                run_uid=run_uid,
                namespace=meta["namespace"],
                number=number,
                job_name=meta["name"],
                job_uid=meta["uid"],
                created=job_created(meta, run, number=number, now=now),
                plan=plan,
                key=_key_of(meta),
                after_oom=AFTER_OOM_ANNOTATION in (meta.get("annotations") or {}),
                spec_hash=spec_hash(spec) if spec is not None else None,
            )
        )
        return (run_uid,)

    def add_unconfirmed(self, run: RunRecord, *, queue: str) -> None:
        """The run is gone, and the POST of its Job was never answered: until that is cleared up it holds its slot."""
        if self.get(run.uid, run.tracked.starting) is None:
            self.add(
                AttemptRecord(
                    run_uid=run.uid,
                    namespace=run.namespace,
                    number=run.tracked.starting,
                    job_name=job_name(run=run.name, run_uid=run.uid, number=run.tracked.starting),
                    job_uid=f"supposed:{run.uid}:{run.tracked.starting}",
                    created=run.tracked.posted_at,
                    plan=Plan(queue=queue),
                    key=run.concurrency_key,
                    unconfirmed_until=run.tracked.posted_at + LATE_WRITE_SECONDS,
                )
            )

    def add(self, attempt: AttemptRecord) -> None:
        """An attempt, with the pods of its Job that were seen before it."""
        known = self._attempts.setdefault(attempt.run_uid, {})
        for unconfirmed in [a for a in known.values() if a.unconfirmed_until and a.number == attempt.number]:
            del known[unconfirmed.job_uid], self._by_job[unconfirmed.job_uid]
        known[attempt.job_uid] = attempt
        self._by_job[attempt.job_uid] = attempt
        orphans = self._orphans.get(attempt.run_uid, {})
        for pod, _ in [s for s in orphans.values() if s[0].job_uid == attempt.job_uid]:
            attempt.pods[pod.uid] = pod
            self._by_pod[pod.uid] = attempt
            del orphans[pod.uid]
        if not orphans:
            self._orphans.pop(attempt.run_uid, None)

    def by_job(self, uid: str) -> AttemptRecord | None:
        """The attempt of a Job, or of what stands for one."""
        return self._by_job.get(uid)

    def shared(self, plan: Plan) -> Plan:
        """Equal plans are one object."""
        return self._plans.setdefault(plan, plan)

    # Pods

    def put_pod(self, body: PodBody, *, now: float) -> Uids:
        """A pod was seen. It belongs to an attempt when its controller is that attempt's Job, and stays so by its uid."""
        meta = body["metadata"]
        job_uid = controller_uid(meta, kind="Job")
        attempt = self._by_pod.get(meta["uid"]) or (self._by_job.get(job_uid) if job_uid else None)
        if attempt is None:
            return self._put_orphan(body, job_uid=job_uid, now=now)
        known = attempt.pods.get(meta["uid"])
        pod = self._parse_pod(body, job_uid=attempt.job_uid, now=now)
        if known is not None and not _is_news(pod, known):
            return ()
        attempt.pods[pod.uid] = pod
        self._by_pod[pod.uid] = attempt
        return (attempt.run_uid,)

    def pod_deleted(self, body: PodBody, *, now: float) -> Uids:
        """The watch says that a pod is gone, or that it has only left the selector."""
        meta = body["metadata"]
        uids = self.put_pod(body, now=now)
        attempt = self._by_pod.get(meta["uid"])
        if attempt is None:
            run_uid = _claimed_run(meta)
            return (run_uid,) if self._orphans.get(run_uid, {}).pop(meta["uid"], None) else ()
        pod = attempt.pods[meta["uid"]]
        if not pod.terminal and "deletionTimestamp" not in meta:
            self.inspect_soon(attempt)  # it may still run
            attempt.unwatched = True
            pod.phase = UNKNOWN
            return (attempt.run_uid,)
        pod.gone = True
        return uids or (attempt.run_uid,)

    def unlisted_pods(self, listed: Iterable[str], *, version: int, namespace: str | None = None) -> Uids:
        """Pods that a list at `version` (of `namespace`) didn't have: their attempts have to be looked into."""
        seen, marked = set(listed), []
        for uid, attempt in self._by_pod.items():
            if namespace is not None and attempt.namespace != namespace:
                continue
            pod = attempt.pods[uid]
            if uid not in seen and not pod.terminal and pod.version <= version and pod.phase != "Pending":
                self.inspect_soon(attempt)
                pod.phase = UNKNOWN
                marked.append(attempt.run_uid)
        for run_uid, orphans in self._orphans.items():
            for pod, meta in list(orphans.values()):
                elsewhere = namespace is not None and meta["namespace"] != namespace
                if pod.uid in seen or pod.version > version or elsewhere or pod.terminal or pod.phase == "Pending":
                    continue
                del orphans[pod.uid]
                marked.append(run_uid)
        return tuple(marked)

    def _put_orphan(self, body: PodBody, *, job_uid: str | None, now: float) -> Uids:
        # The watch can be faster than the answer to our own POST of the Job, and the first list of pods than that of
        # Jobs and runs.
        meta = body["metadata"]
        run = self._runs.get(run_uid := _claimed_run(meta))
        if not job_uid or not run_uid or not _is_named_for(meta) or (run is not None and run.status.phase.terminal):
            return ()
        orphans = self._orphans.setdefault(run_uid, {})
        known, pod = orphans.get(meta["uid"]), self._parse_pod(body, job_uid=job_uid, now=now)
        if known is not None and not _is_news(pod, known[0]):
            return ()
        orphans[pod.uid] = (pod, cast("ObjectMeta", {k: v for k, v in meta.items() if k in KEPT_OF_ORPHANS}))
        return (run_uid,)

    def _parse_pod(self, body: PodBody, *, job_uid: str, now: float) -> PodRecord:
        """One that can't be parsed keeps its slot: what is left of it is its phase."""
        meta = body["metadata"]
        try:
            pod = parse_pod(body, job_uid=job_uid, received=now)
        except Exception as error:
            self._quarantine.put(Ref.of("pods", meta), Fault.of(READING, error), error)
            phase = (body.get("status") or {}).get("phase")
            return pod_in_doubt(meta, phase=phase, job_uid=job_uid, received=now)
        if not self._quarantine.is_empty:
            self._quarantine.release("pods", pod.uid, doing=READING)
        return pod

    # What the executor has found out or done

    def inspect_soon(self, attempt: AttemptRecord) -> None:
        """Something may have happened to it that no event reports."""
        attempt.inspected_at = float("-inf")

    def inspected(self, attempt: AttemptRecord, *, at: float, runs: bool) -> None:
        """It was looked into. `runs`: a pod of it runs, whose end an event will report."""
        attempt.inspected_at, attempt.inspections = at, 0 if runs else attempt.inspections + 1

    def job_is_gone(self, attempt: AttemptRecord) -> None:
        """Its Job is no longer there."""
        attempt.job_gone = True

    def job_has_ended(self, attempt: AttemptRecord) -> None:
        """Its Job is complete or has failed."""
        attempt.job_ended = True

    def pod_is_gone(self, attempt: AttemptRecord, pod: PodRecord) -> None:
        """One of its pods is no longer there."""
        pod.gone = True

    def stopping(self, attempt: AttemptRecord, why: Cause, *, pod: PodRecord | None) -> None:
        """Its pod was asked to end, or its Job was deleted."""
        attempt.stop, attempt.stopped_pod = why, pod.uid if pod is not None else ""

    def has_trouble(self, attempt: AttemptRecord, trouble: Cause | None, *, at: float) -> None:
        """What keeps it from running, or nothing any more."""
        if attempt.trouble is None or trouble is None or attempt.trouble.reason != trouble.reason:
            attempt.trouble_since = at
        attempt.trouble = trouble

    def is_held(self, attempt: AttemptRecord, hold: Cause | None, *, at: float, suspended: bool = False) -> None:
        """What keeps its Job from making a pod through no fault of its own, or nothing any more. `suspended`: by another
        controller, which may resume it."""
        attempt.suspended = suspended
        if hold is not None or attempt.hold is not None:
            attempt.hold_until = at
        attempt.hold = hold

    # What has lost its owner

    def adopt(self, run_uid: str) -> None:
        """Make attempts of pods whose Job isn't there: it was deleted while no operator watched.

        Not while an attempt is being started: its pod can be seen before the answer to our own POST.
        """
        run = self._runs.get(run_uid)
        if not self.settled or (run is not None and run.tracked.starting):
            return
        for pod, meta in list(self._orphans.pop(run_uid, {}).values()):
            number = attempt_number(meta)
            if pod.terminal or number is None:
                continue
            attempt = self._by_job.get(pod.job_uid)
            if attempt is None:
                attempt = AttemptRecord(
                    run_uid=run_uid,
                    namespace=meta["namespace"],
                    number=number,
                    job_name=job_name(run=meta["labels"][RUN_LABEL], run_uid=run_uid, number=number),
                    job_uid=pod.job_uid,
                    created=pod.created,
                    plan=Plan(queue=queue_of(meta)),
                    key=_key_of(meta),
                    plan_known=False,
                    inspected_at=float("-inf"),
                )
                self.add(attempt)
            attempt.pods[pod.uid] = pod
            self._by_pod[pod.uid] = attempt

    def adopt_all(self) -> Uids:
        """Everything has been listed: what has no owner now, has lost it."""
        self.settled = True
        found = tuple(self._orphans)
        for run_uid in found:
            self.adopt(run_uid)
        return found

    def retire(self, run_uid: str) -> None:
        """The run has ended or is gone: keep only what may still run."""
        self._orphans.pop(run_uid, None) if self.settled else None
        attempts = self._attempts.get(run_uid)
        if attempts is None:
            return
        for attempt in [a for a in attempts.values() if self._is_over(a)]:
            del attempts[attempt.job_uid]
            self._by_job.pop(attempt.job_uid, None)
            for pod in attempt.pods:
                self._by_pod.pop(pod, None)
        if not attempts:
            del self._attempts[run_uid]


def _is_news(pod: PodRecord, known: PodRecord) -> bool:
    """Whether a pod says more than is known of it. What was first seen earlier stays seen then.

    An action that reads what is known already must not ask for the next decision: one that fails after its reads would be
    repeated at once, for as long as it fails.
    """
    if known.version > pod.version:
        return False
    if _stage(known) == _stage(pod):
        pod.received = known.received
    if known.accepted_seen is not None and known.accepted == pod.accepted:
        pod.accepted_seen = known.accepted_seen
    return pod != known


def _stage(pod: PodRecord) -> tuple[str, bool, bool]:
    """What `received` is counted from: the phase, and how far the container `task` is in it."""
    return pod.phase, pod.started is None, pod.exit_code is None


def _claimed_run(meta: ObjectMeta) -> str:
    return (meta.get("labels") or {}).get(RUN_UID_LABEL, "")


def queue_of(meta: ObjectMeta) -> str:
    """The queue that a Job or pod says by its label that it was started in."""
    return (meta.get("labels") or {}).get(QUEUE_LABEL) or DEFAULT_QUEUE


def _key_of(meta: ObjectMeta) -> str:
    return (meta.get("annotations") or {}).get(CONCURRENCY_KEY_ANNOTATION, "")


def _is_named_for(meta: ObjectMeta) -> bool:
    """Whether the pod's controller has the name of one of the run's Jobs: a label alone says nothing."""
    number, run = attempt_number(meta), (meta.get("labels") or {}).get(RUN_LABEL)
    if number is None or not run:
        return False
    wanted = job_name(run=run, run_uid=_claimed_run(meta), number=number)
    job = controller_of(meta, kind="Job")
    return job is not None and job.get("name") == wanted
