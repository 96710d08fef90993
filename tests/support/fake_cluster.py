"""A cluster in memory: an apiserver, and what the Job controller, the garbage collector and kubelets do, each one step at a time.

As in a real one, a Job's pod has a finalizer until the Job controller has counted it, a deleted pod stays until its containers
have ended, and a pod that was disrupted is replaced once it has ended.
"""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from tidegate_api.names import RUN_UID_LABEL

from support.fake_apiserver import ENDED, FOREGROUND, FakeApiserver, Json
from support.virtual_loop import Clocks

COUNTED: Final = "batch.kubernetes.io/job-tracking"
NAMESPACE: Final = "default"
KILLED: Final = 137
TERMINATED: Final = 143


@dataclass(frozen=True, kw_only=True)
class PodEnd:
    """How a pod ended, in truth."""

    job: str
    pod: str
    code: int
    by: str
    """"itself", "disruption", "deletion" or "deadline"."""
    at: float
    """When, by the test's own time."""


class FakeCluster(FakeApiserver):
    """Times in objects are of the clock that writes them. How long something takes is by no clock that can be set."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(clocks.apiserver)
        self.clocks = clocks
        self.ends: dict[str, list[PodEnd]] = {}
        """By run."""
        self.accepted: dict[str, float] = {}
        """When the kubelet took each pod on, in truth."""
        self.began: dict[str, float] = {}
        """When the container of each pod started, in truth."""
        self._ends_by: dict[str, float] = {}
        """When the grace of each deleted pod is over, in truth."""

    # What people do

    def create_run(self, manifest: Json) -> str:
        made = self.add("taskruns", json.loads(json.dumps(manifest)))
        uid: str = made["metadata"]["uid"]
        return uid

    def change_run(self, uid: str, **spec: Any) -> None:
        run = self.by_uid("taskruns", uid)
        if run is None or run["spec"] == {**run["spec"], **spec}:
            return
        run["metadata"]["generation"] += 1
        self.put("taskruns", {**run, "spec": {**run["spec"], **spec}})

    def delete_uid(self, plural: str, uid: str, *, propagation: str = "Background") -> None:
        if (body := self.by_uid(plural, uid)) is not None:
            self.delete(plural, body, propagation=propagation)

    # What is true

    def pods_of_run(self, run_uid: str) -> list[Json]:
        return [p for p in self.all("pods") if p["metadata"]["labels"].get(RUN_UID_LABEL) == run_uid]

    def live_pods(self, run_uid: str) -> list[Json]:
        return [p for p in self.pods_of_run(run_uid) if p["status"]["phase"] not in ENDED]

    def occupying(self) -> dict[str, str]:
        """Runs of which something runs or will, and what."""
        found = {p["metadata"]["labels"][RUN_UID_LABEL]: "pod" for p in self.all("pods") if is_live(p)}
        for job in self.all("jobs"):
            if not _is_finished(job) and "deletionTimestamp" not in job["metadata"] and self._needs_pod(job):
                found.setdefault(job["metadata"]["labels"][RUN_UID_LABEL], "job")
        return found

    # The Job controller

    def control_jobs(self) -> None:
        for pod in self.all("pods"):
            if not is_live(pod) and COUNTED in pod["metadata"].get("finalizers", ()):
                self._count(pod)
        for job in self.all("jobs"):
            if not _is_finished(job) and "deletionTimestamp" not in job["metadata"] and self._needs_pod(job):
                self._create_pod(job)

    def _needs_pod(self, job: Json) -> bool:
        pods = self.dependents("pods", job["metadata"]["uid"])
        return not any(is_live(pod) or decides(pod) for pod in pods)

    def _count(self, pod: Json) -> None:
        job = self.by_uid("jobs", pod["metadata"]["ownerReferences"][0]["uid"])
        if job is not None and decides(pod):
            kind = "Complete" if pod["status"]["phase"] == "Succeeded" else "Failed"
            job["status"] = {"conditions": [{"type": kind, "status": "True"}]}
            self.put("jobs", job)
        self.drop_finalizer("pods", pod, COUNTED)

    def _create_pod(self, job: Json) -> None:
        meta, template = job["metadata"], job["spec"]["template"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
        made: Json = {
            "metadata": {
                **json.loads(json.dumps(template["metadata"])),
                "name": f"{meta['name']}-{self._number():05d}",
                "namespace": meta["namespace"],
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
                "finalizers": [COUNTED],
            },
            "spec": json.loads(json.dumps(template["spec"])),
            "status": {"phase": "Pending"},
        }
        self.add("pods", made)

    # The garbage collector

    def dependents(self, plural: str, owner_uid: str) -> list[Json]:
        return [
            body
            for body in self.all(plural)
            if any(o["uid"] == owner_uid for o in body["metadata"].get("ownerReferences", ()))
        ]

    def collect(self) -> None:
        there = {body["metadata"]["uid"] for plural in ("taskruns", "jobs") for body in self.all(plural)}
        for plural in ("jobs", "pods"):
            for body in self.all(plural):
                owners = body["metadata"].get("ownerReferences", ())
                if owners and not any(owner["uid"] in there for owner in owners):
                    self.delete(plural, body)
        for job in self.all("jobs"):
            if FOREGROUND in job["metadata"].get("finalizers", ()) and "deletionTimestamp" in job["metadata"]:
                pods = self.dependents("pods", job["metadata"]["uid"])
                for pod in pods:
                    self.delete("pods", pod)
                if not self.dependents("pods", job["metadata"]["uid"]):
                    self.drop_finalizer("jobs", job, FOREGROUND)

    # Kubelets, and the scheduler

    def bind(self, pod: Json) -> None:
        """It gets a node, whose kubelet takes it on."""
        if "deletionTimestamp" in pod["metadata"]:
            return
        pod["spec"]["nodeName"] = "node-1"
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.time_text()}
        others = [c for c in pod["status"].get("conditions", ()) if c["type"] != "PodScheduled"]
        pod["status"] |= {"startTime": self.node_text(), "conditions": [scheduled, *others]}
        self.accepted[pod["metadata"]["uid"]] = self.clocks.true.now
        self.put("pods", pod)

    def run_pod(self, pod: Json) -> None:
        """Its container starts."""
        if not pod["spec"].get("nodeName"):
            self.bind(pod)
        if "deletionTimestamp" in pod["metadata"]:
            return
        running = {"running": {"startedAt": self.node_text()}}
        self.began[pod["metadata"]["uid"]] = self.clocks.true.now
        pod["status"] |= {"phase": "Running", "containerStatuses": [{"name": "task", "state": running}]}
        self.put("pods", pod)

    def end_pod(self, pod: Json, code: int, *, by: str = "itself", reason: str = "") -> None:
        """Its container ends, and with it the pod."""
        status, meta = pod["status"], pod["metadata"]
        if is_disrupted(pod):
            by = "disruption"
        elif by == "itself" and "deletionTimestamp" in meta:
            by = "deletion"
        began = next((c["state"]["running"]["startedAt"] for c in status.get("containerStatuses", ())), None)
        ended = {"terminated": {"exitCode": code, "startedAt": began, "finishedAt": self.node_text()}}
        status |= {
            "phase": "Failed" if code or reason else "Succeeded",
            **({"containerStatuses": [{"name": "task", "state": ended}]} if began is not None else {}),
            **({"reason": reason} if reason else {}),
        }
        at = self.clocks.true.now
        end = PodEnd(job=meta["ownerReferences"][0]["name"], pod=meta["name"], code=code, by=by, at=at)
        self.ends.setdefault(meta["labels"][RUN_UID_LABEL], []).append(end)
        self.put("pods", pod)
        if "deletionTimestamp" in meta:
            self.delete("pods", pod)  # as a kubelet does that has ended all of it

    def disrupt(self, pod: Json) -> None:
        """It is evicted: marked first, then deleted; its kubelet ends it."""
        mark = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": self.time_text()}
        pod["status"]["conditions"] = [*pod["status"].get("conditions", ()), mark]
        self.put("pods", pod)
        self.delete("pods", pod)

    def kubelets(self) -> None:
        """They end what was deleted, and what is past its deadline."""
        for pod in self.all("pods"):
            if not is_live(pod):
                continue
            meta, spec, now = pod["metadata"], pod["spec"], self.clocks.true.now
            began, deadline = self.accepted.get(meta["uid"]), spec.get("activeDeadlineSeconds")
            if "deletionTimestamp" in meta and not spec.get("nodeName"):
                self.end_pod(pod, 1)  # the pod garbage collector marks it failed
            elif began is not None and deadline is not None and now >= began + deadline:
                self.end_pod(pod, TERMINATED, by="deadline", reason="DeadlineExceeded")
            elif "deletionTimestamp" in meta and now >= self._grace_over(meta, now):
                self.end_pod(pod, KILLED)

    def _grace_over(self, meta: Json, now: float) -> float:
        """When a deleted pod is killed: its kubelet counts from when it hears of it."""
        return self._ends_by.setdefault(meta["uid"], now + meta["deletionGracePeriodSeconds"])

    def node_text(self) -> str:
        """The time as the node writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clocks.node()))


def is_live(pod: Json) -> bool:
    return pod["status"]["phase"] not in ENDED


def is_disrupted(pod: Json) -> bool:
    return any(c["type"] == "DisruptionTarget" for c in pod["status"].get("conditions", ()))


def decides(pod: Json) -> bool:
    """Whether the pod's end is its Job's: one that failed by a disruption is ignored."""
    return pod["status"]["phase"] == "Succeeded" or (pod["status"]["phase"] == "Failed" and not is_disrupted(pod))


def _is_finished(job: Json) -> bool:
    return bool((job.get("status") or {}).get("conditions"))
