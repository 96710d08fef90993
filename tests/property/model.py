"""A cluster as simple as it can be: runs, Jobs and pods that change one step at a time, and a operator's view of it.

Events pile up until they are delivered, in any order, twice or never; the operator's writes are carried out as the
apiserver would. What is real here is the operator's cache and `decide`.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from support.builders import a_run
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.manifests.job import PodDefaults, build_job
from tidegate_operator.policies import decision as d
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.leftovers import decide_leftovers
from tidegate_operator.policies.resolution import resolve
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import STOP_ANNOTATION, Plan, RunRecord
from tidegate_operator.state.cache import KINDS, Cache

Json = dict[str, Any]
START = 1_700_000_000.0
QUEUE = "mail"
SPEC = {"image": "x", "timeoutSeconds": 50, "retry": {"initialDelaySeconds": 2}, "queue": QUEUE}
PLAN = Plan.of(SPEC)
ENDED = ("Succeeded", "Failed")


@dataclass
class Cluster:
    """What is true."""

    now: float = START
    version: int = 1
    runs: dict[str, Json] = field(default_factory=dict)
    gone: dict[str, Json] = field(default_factory=dict)
    """Runs that were deleted."""
    jobs: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    ends: dict[str, Json] = field(default_factory=dict)
    """Status of each run when it became terminal."""
    events: list[tuple[str, str, Json]] = field(default_factory=list)
    limit: int = 2
    """concurrencyLimit of the queue that all runs wait in."""

    def touch(self, kind: str, body: Json, *, event: str = "MODIFIED") -> None:
        """The object has changed: a new version, and an event about it."""
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((kind, event, copy.deepcopy(body)))

    def create_run(self, *, max_attempts: int, **spec: Any) -> None:
        name = f"run-{len(self.runs) + len(self.gone)}"
        task = {"timeoutSeconds": 50, "retry": {"maxAttempts": max_attempts, "initialDelaySeconds": 2}}
        body = a_run(name).task(**task).spec(queue=QUEUE, **spec).built
        body["metadata"] |= {"uid": name, "creationTimestamp": format_time(self.now), "generation": 1}
        body["status"] = {"phase": "Pending"}
        self.runs[name] = body
        self.touch("taskruns", body, event="ADDED")

    def delete_run(self, uid: str) -> None:
        """Its Jobs are collected later, by `collect`."""
        self.gone[uid] = self.runs.pop(uid)
        self.touch("taskruns", self.gone[uid], event="DELETED")

    def collect(self) -> None:
        """What the garbage collector does with Jobs whose run is gone."""
        for uid, job in list(self.jobs.items()):
            if job["metadata"]["labels"]["tidegate.dev/run-uid"] in self.gone:
                self.delete_job(uid)

    def change(self, uid: str, **spec: Any) -> None:
        """Somebody changes what may be changed."""
        self.runs[uid]["spec"] |= spec
        self.touch("taskruns", self.runs[uid])

    def write_status(self, uid: str, status: Json, *, version: int) -> bool:
        """False for a conflict."""
        run = self.runs.get(uid)
        if run is None or int(run["metadata"]["resourceVersion"]) != version:
            return False
        before = run["status"]
        if Phase(before["phase"]).terminal:
            kept = ("phase", "reason", "attempts", "result")
            assert [before.get(k) for k in kept] == [status.get(k) for k in kept], "a finished run was changed"
        run["status"] = copy.deepcopy(status)
        if Phase(status["phase"]).terminal:
            self.ends.setdefault(uid, copy.deepcopy(status))
        self.touch("taskruns", run)
        return True

    def create_job(self, uid: str, number: int) -> Json:
        """A Job of the name that is there already is found, not made. The owner need not be there (any more)."""
        run = self.runs.get(uid) or self.gone[uid]
        resolved = resolve(run["spec"]["task"], run["spec"])
        job = build_job(run, resolved, number=number, defaults=PodDefaults())
        for present in self.jobs.values():
            if present["metadata"]["name"] == job["metadata"]["name"]:
                return present
        assert not self.live_pods(uid), f"attempt {number} of {uid} was started while a pod of it lives"
        job["metadata"] |= {"uid": f"job-{self.version}", "creationTimestamp": format_time(self.now)}
        self.jobs[job["metadata"]["uid"]] = job
        self.touch("jobs", job, event="ADDED")
        self.create_pod(job)
        return job

    def create_pod(self, job: Json) -> None:
        uid = f"pod-{self.version}"
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
        meta = {
            "uid": uid,
            "name": uid,
            "namespace": "default",
            "labels": job["metadata"]["labels"],
            "ownerReferences": [owner],
            "creationTimestamp": format_time(self.now),
        }
        self.pods[uid] = {"metadata": meta, "spec": {"containers": [{}]}, "status": {"phase": "Pending"}}
        self.touch("pods", self.pods[uid], event="ADDED")

    def live_pods(self, run_uid: str) -> list[Json]:
        mine = [p for p in self.pods.values() if p["metadata"]["labels"]["tidegate.dev/run-uid"] == run_uid]
        return [p for p in mine if p["status"]["phase"] not in ENDED]

    def run_pod(self, uid: str) -> None:
        pod = self.pods[uid]
        pod["spec"]["nodeName"] = "node-1"
        running = {"running": {"startedAt": format_time(self.now)}}
        pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "task", "state": running}]}
        self.touch("pods", pod)

    def end_pod(self, uid: str, code: int, *, reason: str = "", conditions: Sequence[Json] = ()) -> None:
        pod = self.pods[uid]
        terminated = {"exitCode": code, "finishedAt": format_time(self.now), "startedAt": format_time(self.now)}
        pod["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "task", "state": {"terminated": terminated}}],
            "conditions": list(conditions),
            **({"reason": reason} if reason else {}),
        }
        self.touch("pods", pod)
        if "deletionTimestamp" in pod["metadata"]:
            self._remove_pod(uid)

    def disrupt_pod(self, uid: str) -> None:
        """Evicted: its Job, when there is one still, makes another."""
        pod = self.pods[uid]
        # The mark comes before the end, or with it, never after.
        self.end_pod(uid, 137, conditions=[{"type": "DisruptionTarget", "status": "True"}])
        job = self.jobs.get(pod["metadata"]["ownerReferences"][0]["uid"])
        if job is not None:
            self.create_pod(job)

    def delete_job(self, uid: str) -> None:
        """Its pods go with it: at once where no container runs, else when their containers have ended."""
        job = self.jobs.pop(uid, None)
        if job is None:
            return
        self.touch("jobs", job, event="DELETED")
        for pod_uid, pod in list(self.pods.items()):
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid:
                pod["metadata"]["deletionTimestamp"] = format_time(self.now)
                if pod["status"]["phase"] == "Running":
                    self.touch("pods", pod)
                else:
                    self._remove_pod(pod_uid)

    def _remove_pod(self, uid: str) -> None:
        self.touch("pods", self.pods.pop(uid), event="DELETED")

    def enforce_deadlines(self) -> None:
        """What kubelets do with pods whose deadline was shortened."""
        for uid, pod in list(self.pods.items()):
            if pod["spec"].get("activeDeadlineSeconds") == 1 and pod["status"]["phase"] not in ENDED:
                self.end_pod(uid, 143, reason="DeadlineExceeded")


class Manager:
    """The real cache, admission and `decide`; actions are carried out on the model as the reconciler and the actor would."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.cache = Cache(clock=lambda: cluster.now)
        self.unanswered = False
        """The next POST of a Job is carried out, and its answer lost."""
        self.sweep()
        for pod in cluster.pods.values():  # once, at the start
            self.cache.upserted("pods", copy.deepcopy(pod))
        for kind in KINDS:
            self.cache.synced(kind)

    def sweep(self) -> None:
        """List everything, as at the start and now and again."""
        c = self.cluster
        self.cache.admission.set_queue("default", QUEUE, spec={"concurrencyLimit": c.limit}, bucket=None)
        for run in c.runs.values():
            self.cache.upserted("taskruns", copy.deepcopy(run))
        for uid in [uid for uid in self.cache.runs if uid not in c.runs]:
            self.cache.drop_run(uid)
        for job in c.jobs.values():
            self.cache.upserted("jobs", copy.deepcopy(job))
        for attempt in self.cache.attempts.all():
            if attempt.job_uid not in c.jobs and not attempt.job_gone:
                self.cache.attempts.inspect_soon(attempt)
        for pod in c.pods.values():
            if pod["status"]["phase"] != "Pending":  # the watch's selector
                self.cache.upserted("pods", copy.deepcopy(pod))
        self.cache.missing_pods(c.pods, version=c.version)

    def deliver(self, kind: str, event: str, body: Json) -> None:
        if kind == "taskruns" and event == "DELETED":
            self.cache.drop_run(body["metadata"]["uid"])
        elif kind == "taskruns":
            self.cache.upserted("taskruns", copy.deepcopy(body))
        elif kind == "pods" and event == "DELETED":
            self.cache.deleted("pods", copy.deepcopy(body))
        elif kind == "pods" and body["status"]["phase"] != "Pending":
            self.cache.upserted("pods", copy.deepcopy(body))

    def reconcile(self) -> None:
        """Decide on every run, let in whose turn has come, and act."""
        now, cache = self.cluster.now, self.cache
        for uid in [*cache.runs, *{a.run_uid for a in cache.attempts.all()} - cache.runs.keys()]:
            run = cache.runs.get(uid)
            decision = decide(run, self._world(run), now) if run is not None else d.Decision()
            if run is None or run.status.phase.terminal:
                decide_leftovers(cache.attempts.of(uid), decision, now)
            if run is None or decision.entry is None:
                cache.admission.withdraw(uid)
            else:
                cache.admission.ask(decision.entry)
            for action in decision.actions:
                self._act(run, action)
        for entry in cache.admission.admit(now):
            run = cache.runs[entry.uid]
            cache.track.starts(run, entry.number)
            self._act(run, d.StartAttempt(entry.number))

    def _world(self, run: RunRecord) -> d.DecisionContext:
        return d.DecisionContext(
            attempt=self.cache.attempts.latest(run.uid),
            has_orphan_pod=self.cache.attempts.has_orphan_pod(run.uid),
            find=lambda name: self.cache.find_run("default", name),
            has_dependents=self.cache.has_dependents(run),
            queue_cause=self.cache.admission.why(run.uid, self.cluster.now),
            deletes_due_by=-math.inf,
        )

    def _act(self, run: RunRecord | None, action: d.Action) -> None:
        c = self.cluster
        match action:
            case d.StopAttempt(attempt, why):
                self._stop(attempt, why)
            case d.DeleteJob(attempt):
                c.delete_job(attempt.job_uid)
                self._look(attempt)
            case d.InspectAttempt(attempt):
                self._look(attempt)
                body = c.runs.get(attempt.run_uid)
                if run is not None and body is not None and not attempt.plan_known:
                    self.cache.planned(attempt, resolve(body["spec"]["task"], body["spec"]))
            case _ if run is not None:
                self._act_on(run, action)

    def _act_on(self, run: RunRecord, action: d.Action) -> None:
        c = self.cluster
        match action:
            case d.StartAttempt(number):
                self._start(run, number)
            case d.FindAttempt(number):
                if not self._find(run, number):
                    self._not_started(run)
            case d.WriteStatus(status):
                version = run.version
                if c.write_status(run.uid, status, version=version):
                    metadata = copy.deepcopy(c.runs[run.uid]["metadata"])
                    self.cache.wrote_status(run, metadata, copy.deepcopy(status), written_on=version)
                elif run.uid in c.runs:  # read after a conflict
                    self.cache.upserted("taskruns", copy.deepcopy(c.runs[run.uid]))
                else:
                    self.cache.drop_run(run.uid)
            case d.RecoverAttempt(number):
                self._recover(run, number)

    def _start(self, run: RunRecord, number: int) -> None:
        c = self.cluster
        if run.cancel or run.suspend:
            if not run.tracked.posted_at:
                self._not_started(run)
            return
        if run.tracked.posted_at and (self._find(run, number) or run.cancel or run.uid not in c.runs):
            return
        if run.tracked.posted_at and self.cache.attempts.has_orphan_pod(run.uid):
            self._not_started(run)
            return
        self.cache.track.posted(run)
        job = c.create_job(run.uid, number)
        if self.unanswered:
            self.unanswered = False
            return
        self.cache.made_job(copy.deepcopy(job["metadata"]), spec=SPEC)

    def _not_started(self, run: RunRecord) -> None:
        self.cache.track.not_started(run, run.tracked.starting)

    def _find(self, run: RunRecord, number: int) -> bool:
        for job in self.cluster.jobs.values():
            labels = job["metadata"]["labels"]
            if labels["tidegate.dev/run-uid"] == run.uid and labels["tidegate.dev/attempt"] == str(number):
                self.cache.upserted("jobs", copy.deepcopy(job))
                return True
        for pod in self.cluster.live_pods(run.uid):
            self.cache.upserted("pods", copy.deepcopy(pod))
        return False

    def _look(self, attempt: AttemptRecord) -> None:
        c = self.cluster
        if attempt.unconfirmed_until:
            attempt.inspected_at = c.now
            found = next((j for j in c.jobs.values() if j["metadata"]["name"] == attempt.job_name), None)
            if found is not None:
                self.cache.upserted("jobs", copy.deepcopy(found))
            attempt.job_gone = found is None and c.now >= attempt.unconfirmed_until
            self.cache.settle(attempt.run_uid)
            return
        for pod in c.pods.values():
            if pod["metadata"]["ownerReferences"][0]["uid"] == attempt.job_uid:
                self.cache.upserted("pods", copy.deepcopy(pod))
        for record in attempt.pods.values():
            record.gone = record.gone or record.uid not in c.pods
        attempt.job_gone = attempt.job_uid not in c.jobs
        if not attempt.plan_known and not attempt.job_gone:
            self.cache.upserted("jobs", copy.deepcopy(c.jobs[attempt.job_uid]))
        attempt.inspected_at = c.now
        self.cache.settle(attempt.run_uid)

    def _stop(self, attempt: AttemptRecord, why: Any) -> None:
        self._look(attempt)
        pod = attempt.pod
        if pod is not None and pod.terminal:
            return
        if pod is None or pod.node is None:
            self.cluster.delete_job(attempt.job_uid)
            attempt.stop, attempt.stopped_pod = why, pod.uid if pod else ""
            return
        true = self.cluster.pods[pod.uid]
        true["spec"]["activeDeadlineSeconds"] = 1
        true["metadata"]["annotations"] = {STOP_ANNOTATION: why.reason}
        self.cluster.touch("pods", true)
        attempt.stop, attempt.stopped_pod = why, pod.uid

    def _recover(self, run: RunRecord, number: int) -> None:
        c = self.cluster
        if self._find(run, number):
            return
        if c.live_pods(run.uid):
            run.tracked.recover_at = c.now + 2
            return
        gone = AttemptRecord(
            run.uid, "default", number, "gone", f"gone:{run.uid}:{number}", run.created, PLAN, job_gone=True
        )
        self.cache.add_attempt(gone)
