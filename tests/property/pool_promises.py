"""What must hold of runs in pools besides: at each write, at each line that a leader says, and when a process begins."""

from typing import Any, Final

import orjson
from support.fake_apiserver import Answer, Json, Request
from support.fake_workers import ModelWorker, Process
from support.virtual_loop import Clocks
from tidegate_api.names import POOL_LABEL, Phase, Reason
from tidegate_api.pod_tokens import bound_pod
from tidegate_api.times import format_second

from property.promises import COUNTED, SLACK, SLEW, TIMEOUT, CheckedCluster

NAMESPACE: Final = "default"
SLOTS: Final = 2
MOST_WRITES: Final = 2
"""Of the status of a run in a pool that nothing disturbs, from its first hand-over on."""


class PoolCluster(CheckedCluster):
    """A cluster with pools and their workers, that notes each promise about them that is broken."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(clocks)
        self.workers: list[ModelWorker] = []
        """Containers, those that have ended too."""
        self.processes: dict[str, Process] = {}
        """All that ever began, by hand-over."""
        self.status_writes: dict[str, int] = {}
        """Of each run, from its first hand-over on."""
        self.unknown: set[str] = set()
        """Runs that were gone when a leader began: until their worker connects nothing in the cluster says that they run."""
        self.disturbed: set[str] = set()
        """Runs of which not only what is due has happened."""

    # What exists

    def make_pool(self, name: str) -> None:
        """A pool, its Deployment and its ReplicaSet."""
        spec = {"image": "runner", "replicas": 1, "slots": SLOTS}
        pool = self.add("workerpools", {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
        owner: Json = pool
        for plural in ("deployments", "replicasets"):
            uid = pool["metadata"]["uid"]
            meta = {"name": f"{name}-{uid}", "namespace": NAMESPACE, "ownerReferences": [_controlled_by(owner)]}
            owner = self.add(plural, {"metadata": meta, "spec": {}})

    def drop_pool(self, name: str) -> None:
        """The pool is deleted, and its Deployment collected. Its pods are still there."""
        pool = self.objects["workerpools"].get((NAMESPACE, name))
        if pool is None:
            return
        self.remove("workerpools", pool)
        for plural in ("deployments", "replicasets"):
            for body in self.all(plural):
                if body["metadata"]["name"] == f"{name}-{pool['metadata']['uid']}":
                    self.remove(plural, body)

    def keep_workers(self) -> bool:
        """What the ReplicaSets of pools do. Says whether anything was made."""
        made = False
        for replicas in self.all("replicasets"):
            meta = replicas["metadata"]
            pods = [p["metadata"] for p in self.dependents("workers", meta["uid"])]
            if not [m for m in pods if "deletionTimestamp" not in m]:
                self._make_worker(replicas)
                made = True
        return made

    def _make_worker(self, replicas: Json) -> None:
        pool = replicas["metadata"]["name"].partition("-workerpool-")[0]
        meta = {
            "name": f"worker-{self._number():05d}",
            "namespace": NAMESPACE,
            "labels": {POOL_LABEL: pool},
            "ownerReferences": [_controlled_by(replicas)],
        }
        pod = self.add("workers", {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": {"phase": "Running"}})
        self.report(self.start_container(pod["metadata"]["uid"], delay=0.0))

    def start_container(self, pod_uid: str, *, delay: float) -> ModelWorker:
        """The container `worker` of a pod starts, after so long."""
        pod = self.by_uid("workers", pod_uid)
        assert pod is not None
        worker = ModelWorker(
            pod=pod,
            container=f"{self._number():064x}"[::-1],
            started=self.clocks.true.now + delay,
            started_text=format_second(self.clocks.workers() + delay),
            slots=SLOTS,
            clock=self.clocks.true,
            begins=self._process_begins,
            breaks=self.broken.append,
            # Of an image from before, now and then.
            prepares=len(self.workers) % 3 != 2,
        )
        self.workers.append(worker)
        return worker

    def report(self, worker: ModelWorker) -> None:
        """The node reports the present state of the container's pod."""
        uid = worker.pod["metadata"]["uid"]
        pod = self.by_uid("workers", uid)
        started = [w for w in self.workers if w.pod["metadata"]["uid"] == uid and w.started <= self.clocks.true.now]
        if pod is not None and started:
            status = started[-1].container_status()
            if pod["status"].get("containerStatuses") != [status]:
                pod["status"] = {**pod["status"], "containerStatuses": [status]}
                self.put("workers", pod)

    # What the operator asks

    def handle(self, request: Request) -> Answer:
        if request.path.endswith("/tokenreviews"):
            uid = bound_pod(orjson.loads(request.data or b"")["spec"]["token"], audience="tidegate")
            user = {"extra": {"authentication.kubernetes.io/pod-uid": [uid]}}
            return Answer.of(201, {"status": {"authenticated": True, "audiences": ["tidegate"], "user": user}})
        return super().handle(request)

    def _find(self, request: Request) -> Json:
        place = request.place
        found = self.objects["workers"].get((place["namespace"], place["name"])) if place["plural"] == "pods" else None
        return found if found is not None else super()._find(request)

    # What is true

    def live_processes(self, run_uid: str | None = None) -> list[Process]:
        """Processes that run, of one run or all."""
        found = [p for worker in self.workers for p in worker.running]
        return [p for p in found if run_uid in (None, p.uid)]

    def live_pods(self, run_uid: str) -> list[Json]:
        """Processes included."""
        processes = [
            {"metadata": {"name": p.handover, **({"deletionTimestamp": "now"} if p.stopping is not None else {})}}
            for p in self.live_processes(run_uid)
        ]
        return [*super().live_pods(run_uid), *processes]

    def occupying(self) -> dict[str, str]:
        processes = {p.uid: "process" for p in self.live_processes() if p.uid not in self.unknown}
        return {**super().occupying(), **processes}

    # What must hold

    def _process_begins(self, worker: ModelWorker, process: Process) -> None:
        ident = process.handover
        live = [pod["metadata"]["name"] for pod in self.live_pods(process.uid)]
        self._hold(not live, f"{ident} begins while {live} of its run lives")
        self._hold(ident.startswith(worker.instance + "-"), f"{ident} begins in container {worker.instance}")
        self._hold(ident not in self.processes, f"{ident} begins a second time")
        run = self.by_uid("taskruns", process.uid)
        if run is not None:
            entry = _entry(run, ident)
            self._hold(entry is not None, f"{ident} begins, and its run's status doesn't name it")
            self._hold(entry is None or not entry.get("outcome"), f"{ident} begins after its end was written: {entry}")
        self.processes[ident] = process

    def leader_says(self, line: bytes, *, fenced: bool) -> None:
        """A leader says something to a worker."""
        body = orjson.loads(line)
        if body["type"] in ("start", "commit"):
            self._hold(not fenced, f"{body['handover']} is handed over by one that may not lead")
        if body["type"] == "stop" and body["why"] == Reason.TIMEOUT and body["handover"] in self.processes:
            told = self.processes[body["handover"]]
            ran = self.clocks.true.now - told.began
            self._hold(
                told.uid in self.moved or ran >= TIMEOUT * (1 - SLEW) - SLACK,
                f"{body['handover']} had {ran} s of {TIMEOUT}",
            )
        if body["type"] != "written":
            return
        ident = body["handover"]
        process = self.processes.get(ident)
        run = self.by_uid("taskruns", process.uid) if process is not None else None
        if run is not None:
            entry = _entry(run, ident)
            self._hold(
                entry is not None and bool(entry.get("outcome")),
                f"{ident} may be forgotten, and isn't written: {entry}",
            )

    def checked_update(self, plural: str, before: Json, after: Json) -> None:
        super().checked_update(plural, before, after)
        if plural != "taskruns":
            return
        uid, name = before["metadata"]["uid"], before["metadata"]["name"]
        known = {a["handover"] for a in before["status"].get("attempts", ()) if "handover" in a}
        attempts = after["status"].get("attempts", [])
        for attempt in [a for a in attempts if "handover" in a and a["handover"] not in known]:
            self._check_handover(before, attempt)
            self.status_writes.setdefault(uid, 0)
        if uid in self.status_writes:
            self.status_writes[uid] += 1
            calm = uid not in self.disturbed and len(attempts) == 1
            self._hold(
                not calm or self.status_writes[uid] <= MOST_WRITES,
                f"{name} costs {self.status_writes[uid]} writes: {before['status']} to {after['status']}",
            )

    def checked_create(self, plural: str, body: Json) -> None:
        super().checked_create(plural, body)
        run = self.by_uid("taskruns", body["metadata"].get("labels", {}).get("tidegate.dev/run-uid", ""))
        if plural == "jobs" and run is not None:
            attempts = run["status"].get("attempts", ())
            self._hold(not any("handover" in a for a in attempts), f"{run['metadata']['name']} leaves its pool")

    def _check_handover(self, run: Json, attempt: Json) -> None:
        """As for a Job that is made."""
        uid, ident = run["metadata"]["uid"], attempt["handover"]
        attempts = run["status"].get("attempts", [])
        live = [pod["metadata"]["name"] for pod in self.live_pods(uid)]
        self._hold(not live, f"{ident} is written while {live} of its run lives")
        self._hold(all(a["number"] < attempt["number"] for a in attempts), f"{ident} has a number that was there")
        self._hold(all(a.get("outcome") for a in attempts), f"{ident} comes before an end")
        self._hold(bool(attempts) or self._may_start(run), f"{ident} comes before what its run depends on has ended")
        self._hold(not Phase(run["status"]["phase"]).terminal, f"{ident} is given out for a run that has ended")
        self._hold(not run["spec"].get("cancel"), f"{ident} is given out for a run that is cancelled")
        failed = sum(a.get("outcome") in COUNTED for a in attempts)
        self._hold(failed < run["spec"]["retry"]["maxAttempts"], f"{ident} is one attempt too many")
        aborted = any(a.get("exitCode") == 64 and a.get("reason") == "Error" for a in attempts)
        self._hold(not aborted, f"{ident} comes after exit code 64")


def problems_of_processes(cluster: PoolCluster, run: Json) -> list[str]:
    """What a run's attempts in pools say of their ends that isn't so."""
    found = []
    cancelled = run["spec"].get("cancel", False)
    for attempt in [a for a in run["status"].get("attempts", ()) if "handover" in a]:
        process, outcome = cluster.processes.get(attempt["handover"]), attempt.get("outcome")
        if process is None:
            right = outcome == "Disrupted" or (cancelled and outcome == "Cancelled")
        elif process.by == "itself" and process.code == 0:
            right = outcome == "Succeeded" or not process.kept
        elif process.by == "itself":
            right = (outcome == "Failed" and attempt.get("exitCode") == process.code) or not process.kept or cancelled
        elif process.by == "Timeout":
            right = outcome == "Timeout" or not process.kept or cancelled
        else:
            right = outcome in ("Disrupted", "Cancelled", "Timeout")
        if outcome == "Succeeded":
            right = process is not None and process.by == "itself" and process.code == 0
        if attempt.get("reason") == "NotStarted" and process is not None:
            right = False
        if not right:
            found.append(f"{run['metadata']['name']} says {attempt}; in truth {process}")
    return found


def leftovers_in_workers(cluster: PoolCluster) -> list[str]:
    """What goes on, or is kept, although everything has ended."""
    return [f"{ident} is still kept" for worker in cluster.workers for ident in (*worker.processes, *worker.prepared)]


def _entry(run: Json, ident: str) -> Json | None:
    return next((a for a in run["status"].get("attempts", ()) if a.get("handover") == ident), None)


def _controlled_by(owner: Json) -> Json:
    meta: Any = owner["metadata"]
    return {"kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}
