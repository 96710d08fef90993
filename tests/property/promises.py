"""What must hold of every write that reaches the apiserver, and of every run at its end, whatever has happened."""

import json
from collections.abc import Sequence
from typing import Any, Final

from support.fake_apiserver import Json
from support.fake_cluster import FakeCluster, is_live
from support.virtual_loop import VirtualClock
from tidegate_api.names import RUN_UID_LABEL, Phase
from tidegate_api.times import parse_time

KEPT: Final = ("phase", "reason", "attempts", "result", "finishedAt", "startedAt")
SHORTEST_BACK_OFF: Final = 0.9
"""Seconds: initialDelaySeconds is 2, the jitter halves it at most, and a disruption waits for 1."""
COUNTED: Final = ("Failed", "Timeout")
"""Outcomes that use up one of maxAttempts."""


class CheckedCluster(FakeCluster):
    """A cluster that notes each write of the operator that breaks a promise. `broken` has them."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.broken: list[str] = []
        self.finished: dict[str, Json] = {}
        """Status of each run when it became terminal."""
        self.jobs_made: dict[str, list[str]] = {}
        """By run."""
        self.ended: dict[str, set[str]] = {}
        """Phases in which runs of a name have ended."""
        self.keyed: set[str] = set()
        """Runs with a concurrencyKey."""
        self.meddled: set[str] = set()
        """Runs of which a Job or a pod was deleted by hand."""
        self.writes = 0

    def create_run(self, manifest: Json) -> str:
        uid = super().create_run(manifest)
        if "concurrencyKey" in manifest["spec"]:
            self.keyed.add(uid)
        return uid

    def checked_create(self, plural: str, body: Json) -> None:
        self.writes += 1
        if plural != "jobs":
            return
        uid = body["metadata"]["labels"][RUN_UID_LABEL]
        name = body["metadata"]["name"]
        self._hold(not self.live_pods(uid), f"{name} was made while a pod of its run lives")
        self.jobs_made.setdefault(uid, []).append(name)
        run = self.by_uid("taskruns", uid)
        if run is None:
            return
        number = int(name.rpartition("-")[2])
        attempts = run["status"].get("attempts", [])
        self._hold(all(a["number"] < number for a in attempts), f"{name} has the number of an attempt that was there")
        self._hold(number > 1 or self._may_start(run), f"{name} comes before what its run depends on has ended")
        self._hold(self.clock() >= _not_before(run), f"{name} comes before its back-off is over")
        self._hold(not Phase(run["status"]["phase"]).terminal, f"{name} was made for a run that has ended")
        self._hold(all(a.get("outcome") for a in attempts if a["number"] < number), f"{name} comes before an end")
        failed = sum(a.get("outcome") in COUNTED for a in attempts)
        self._hold(failed < _max_attempts(run), f"{name} is one attempt too many")
        self._hold(not any(map(_aborted, attempts)), f"{name} was made after exit code 64")

    def checked_update(self, plural: str, before: Json, after: Json) -> None:
        self.writes += 1
        name = before["metadata"]["name"]
        if plural != "taskruns":
            return
        old, new = before["status"], after["status"]
        self._hold(_timeless(old) != _timeless(new), f"a write to {name} changes nothing: {new}")
        if Phase(old["phase"]).terminal:
            self._hold(all(old.get(k) == new.get(k) for k in KEPT), f"{name} had ended and was changed: {old} to {new}")
        if new.get("reason") == "BackOff" and new["attempts"][-1].get("reason") != "NotStarted":
            ended = parse_time(new["attempts"][-1]["finishedAt"])
            self._hold(_not_before(after) >= (ended or 0.0) + SHORTEST_BACK_OFF, f"{name} doesn't back off: {new}")
        if Phase(new["phase"]).terminal:
            uid = before["metadata"]["uid"]
            self.ended.setdefault(name, set()).add(new["phase"])
            self.finished.setdefault(uid, json.loads(json.dumps(new)))
            live = [pod["metadata"]["name"] for pod in self.live_pods(uid)]
            self._hold(not live, f"{name} ended as {new['phase']} while {live} lives")

    def checked_delete(self, plural: str, body: Json) -> None:
        self.writes += 1
        if plural != "taskruns":
            return
        name, status = body["metadata"]["name"], body["status"]
        self._hold(Phase(status["phase"]).terminal, f"{name} was deleted before its end")
        ttl = body["spec"].get("ttlSecondsAfterFinished", status.get("ttlSecondsAfterFinished", 0))
        self._hold(
            self.clock() >= (parse_time(status.get("finishedAt")) or 0.0) + ttl, f"{name} was deleted before its time"
        )

    def has_key(self, uid: str) -> bool:
        """Whether the run has a concurrencyKey (there is one)."""
        return uid in self.keyed

    def cancelled_and_live(self) -> list[str]:
        """Pods of cancelled runs that live and that were not deleted."""
        cancelled = [run["metadata"]["uid"] for run in self.all("taskruns") if run["spec"].get("cancel")]
        pods = [pod["metadata"] for uid in cancelled for pod in self.live_pods(uid)]
        return [meta["name"] for meta in pods if "deletionTimestamp" not in meta]

    def _may_start(self, run: Json) -> bool:
        """Whether there was an end, of each run that it depends on, that lets it start."""
        depends = run["spec"].get("dependsOn", ())
        ends = [(d["when"], self.ended.get(d["name"], set())) for d in depends]
        return all("Succeeded" in phases if when == "Succeeded" else phases for when, phases in ends)

    def _hold(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.broken.append(otherwise)


def problems_of_end(cluster: CheckedCluster, run: Json) -> list[str]:
    """What a run's end says that isn't so."""
    status, uid, name = run["status"], run["metadata"]["uid"], run["metadata"]["name"]
    phase, attempts = Phase(status["phase"]), status.get("attempts", [])
    if not phase.terminal:
        return [f"{name} never ended: {status}"]
    found = []

    def hold(is_so: bool, otherwise: str) -> None:
        if not is_so:
            found.append(f"{name} {otherwise}: {status}; in truth {cluster.ends.get(uid)}")

    hold({k: status.get(k) for k in KEPT} == {k: cluster.finished[uid].get(k) for k in KEPT}, "was changed")
    numbers = [a["number"] for a in attempts]
    hold(numbers == sorted(set(numbers)), "has attempts out of order")
    hold(all(a.get("outcome") for a in attempts), "has an attempt without an end")
    _check_conditions(status, hold)
    _check_ends(cluster, run, attempts, hold)
    outcomes = [a["outcome"] for a in attempts if a.get("outcome")]
    hold((phase is Phase.SUCCEEDED) == ("Succeeded" in outcomes), "didn't end as its attempts did")
    hold(phase is not Phase.CANCELLED or run["spec"].get("cancel", False), "was cancelled by nobody")
    failed = sum(outcome in COUNTED for outcome in outcomes)
    if phase is Phase.FAILED and status["reason"] in ("Error", "Timeout", "StartTimeout", "PodDeleted"):
        final = bool(attempts) and _aborted(attempts[-1])
        hold(failed == _max_attempts(run) or final, "failed before its attempts were used up")
    hold(failed <= _max_attempts(run), "had more attempts than it may")
    return found


def _check_conditions(status: Json, hold: Any) -> None:
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    succeeded = "True" if status["phase"] == "Succeeded" else "False"
    hold(conditions == {"Finished": "True", "Succeeded": succeeded}, "has other conditions")
    hold(parse_time(status["finishedAt"]) is not None, "has no time of its end")


def _check_ends(cluster: CheckedCluster, run: Json, attempts: Sequence[Json], hold: Any) -> None:
    """Each attempt ended as its pod did."""
    uid = run["metadata"]["uid"]
    ends = cluster.ends.get(uid, [])
    for attempt in attempts:
        mine = [end for end in ends if end.pod == attempt.get("podName")]
        for end in mine:
            own = end.by == "itself"
            hold("exitCode" not in attempt or attempt["exitCode"] == end.code, f"has a wrong exit code in {attempt}")
            if attempt["outcome"] == "Succeeded":
                hold(own and end.code == 0, f"takes {end} for a success")
            if attempt["outcome"] == "Disrupted":
                hold(end.by == "disruption", f"takes {end} for a disruption")
            if attempt["outcome"] == "Timeout":
                hold(end.by == "deadline", f"takes {end} for a timeout")
            if own and end.code == 0 and uid not in cluster.meddled:
                hold(attempt["outcome"] == "Succeeded", f"takes {end} for no success")


def leftovers(cluster: CheckedCluster) -> list[str]:
    """What goes on of runs that have ended or are gone."""
    return [f"{pod['metadata']['name']} still runs" for pod in cluster.all("pods") if is_live(pod)]


def _aborted(attempt: Json) -> bool:
    """Whether the task itself has said that no other attempt helps: the code of one that was stopped or lost says nothing."""
    return attempt.get("exitCode") == 64 and attempt.get("reason") == "Error"


def _not_before(run: Json) -> float:
    """When the next attempt is due, as the status says it in milliseconds."""
    return (parse_time(run["status"].get("nextAttemptAt")) or 0.0) - 0.001


def _max_attempts(run: Json) -> int:
    spec = run["spec"]
    found: int = (spec if "retry" in spec else spec["task"])["retry"]["maxAttempts"]
    return found


def _timeless(status: Json) -> Json:
    conditions = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status.get("conditions", ())]
    return {**status, "conditions": conditions}
