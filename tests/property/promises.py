"""What must hold of every write that reaches the apiserver, and of every run at its end, whatever has happened."""

import json
from collections.abc import Sequence
from typing import Any, Final

from support.fake_apiserver import Json
from support.fake_cluster import FakeCluster, is_live
from support.virtual_loop import Clocks, LocalClock
from tidegate_api.names import RUN_UID_LABEL, Phase, Reason
from tidegate_api.times import parse_time

KEPT: Final = ("phase", "reason", "attempts", "result", "finishedAt", "startedAt")
SHORTEST_BACK_OFF: Final = 0.9
"""Seconds: initialDelaySeconds is 2, the jitter halves it at most, and a disruption waits for 1."""
COUNTED: Final = ("Failed", "Timeout")
"""Outcomes that use up one of maxAttempts."""
TIMEOUT: Final = 50
START_TIMEOUT: Final = 300
STOP: Final = "tidegate.dev/stop-reason"
SLACK: Final = 2.0
"""Seconds by which a time may be off: the apiserver says its own in whole ones."""
SLEW: Final = 0.1
"""How much faster or slower an operator's clock runs while it follows one that was put forward or back."""
LATE: Final = 35.0
"""Seconds after which something that is due has happened, once nothing is in the way: requests that failed wait for so long."""
BELIEVED: Final = 60.0
"""Seconds by which a node's clock may be off without anything's showing it: between two looks at a pod that doesn't start."""


class CheckedCluster(FakeCluster):
    """A cluster that notes each write of the operator that breaks a promise. `broken` has them."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(clocks)
        self.was_put = False
        """Whether the apiserver's clock was put forward or back."""
        self.uncertain: set[str] = set()
        """Pods that lived while their node's clock, or the apiserver's, was put forward or back."""
        self.moved: set[str] = set()
        """Runs from before another leader took the time over from an apiserver whose clock was put forward or back."""
        self.due: dict[tuple[str, str], float] = {}
        """When each back-off is over in truth, by the run and its nextAttemptAt."""
        self.jobs_began: dict[str, float] = {}
        """When the Job of each name was made, in truth."""
        self.finished_at: dict[str, float] = {}
        """When each run became terminal, in truth."""
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
        self.jobs_began[name] = self.clocks.true.now
        run = self.by_uid("taskruns", uid)
        if run is None:
            return
        number = int(name.rpartition("-")[2])
        attempts = run["status"].get("attempts", [])
        self._hold(all(a["number"] < number for a in attempts), f"{name} has the number of an attempt that was there")
        self._hold(number > 1 or self._may_start(run), f"{name} comes before what its run depends on has ended")
        self._hold(self.has_rested(run), f"{name} comes before its back-off is over")
        self._hold(not Phase(run["status"]["phase"]).terminal, f"{name} was made for a run that has ended")
        self._hold(all(a.get("outcome") for a in attempts if a["number"] < number), f"{name} comes before an end")
        failed = sum(a.get("outcome") in COUNTED for a in attempts)
        self._hold(failed < _max_attempts(run), f"{name} is one attempt too many")
        self._hold(not any(map(_aborted, attempts)), f"{name} was made after exit code 64")

    def checked_update(self, plural: str, before: Json, after: Json) -> None:
        self.writes += 1
        name = before["metadata"]["name"]
        if plural == "pods":
            self._check_stop(before, after)
        if plural != "taskruns":
            return
        old, new, now = before["status"], after["status"], self.clocks.true.now
        self._hold(_timeless(old) != _timeless(new), f"a write to {name} changes nothing: {new}")
        if Phase(old["phase"]).terminal:
            self._hold(all(old.get(k) == new.get(k) for k in KEPT), f"{name} had ended and was changed: {old} to {new}")
        if new.get("reason") == "BackOff" and new["attempts"][-1].get("reason") != "NotStarted":
            due = now + (parse_time(new["nextAttemptAt"]) or 0.0) - self.clock()
            self.due.setdefault((before["metadata"]["uid"], new["nextAttemptAt"]), due)
            ended = parse_time(new["attempts"][-1]["finishedAt"])
            rests = (parse_time(new["nextAttemptAt"]) or 0.0) + 0.001 - (ended or 0.0)
            self._hold(rests >= SHORTEST_BACK_OFF, f"{name} doesn't back off: {new}")
        if Phase(new["phase"]).terminal:
            uid = before["metadata"]["uid"]
            self.finished_at.setdefault(uid, now)
            self.ended.setdefault(name, set()).add(new["phase"])
            self.finished.setdefault(uid, json.loads(json.dumps(new)))
            live = [pod["metadata"]["name"] for pod in self.live_pods(uid)]
            self._hold(not live, f"{name} ended as {new['phase']} while {live} lives")
        known = {a["number"] for a in old.get("attempts", ()) if a.get("outcome")}
        for attempt in [a for a in new.get("attempts", ()) if a["number"] not in known]:
            if attempt.get("reason") == Reason.START_TIMEOUT and "jobName" in attempt:
                waited = now - self.jobs_began.get(attempt["jobName"], now)
                in_time = before["metadata"]["uid"] in self.moved or waited >= START_TIMEOUT * (1 - SLEW) - SLACK
                self._hold(in_time, f"{name} had {waited} s to start: {attempt}")

    def checked_delete(self, plural: str, body: Json) -> None:
        self.writes += 1
        if plural != "taskruns":
            return
        name, status = body["metadata"]["name"], body["status"]
        self._hold(Phase(status["phase"]).terminal, f"{name} was deleted before its end")
        ttl = body["spec"].get("ttlSecondsAfterFinished", status.get("ttlSecondsAfterFinished", 0))
        uid = body["metadata"]["uid"]
        ended = max((end.at for end in self.ends.get(uid, ())), default=self.finished_at.get(uid, 0.0) - SLACK)
        kept = self.clocks.true.now - ended
        is_kept = uid in self.moved or kept >= ttl * (1 - SLEW) - SLACK
        self._hold(is_kept, f"{name} was deleted before its time, after {kept} s")

    def _check_stop(self, before: Json, after: Json) -> None:
        """A pod is stopped for its timeout, and not before that."""
        reasons = [(pod["metadata"].get("annotations") or {}).get(STOP) for pod in (before, after)]
        if reasons[0] == reasons[1] or reasons[1] != Reason.TIMEOUT:
            return
        uid = before["metadata"]["uid"]
        ran = self.clocks.true.now - self.began.get(uid, self.clocks.true.now)
        off = abs(self.clocks.node.ahead - self.clocks.apiserver.ahead)
        slack = SLACK + (off if off <= BELIEVED else 0.0)
        name = before["metadata"]["name"]
        unsure = name in self.uncertain or before["metadata"]["labels"].get(RUN_UID_LABEL) in self.moved
        self._hold(unsure or ran >= TIMEOUT * (1 - SLEW) - slack, f"{name} had {ran} s of {TIMEOUT}")

    def has_rested(self, run: Json) -> bool:
        """Whether the next attempt of a run may come."""
        due = self.due.get((run["metadata"]["uid"], run["status"].get("nextAttemptAt", "")))
        return due is None or self.was_put or self.clocks.true.now >= due - SLACK

    def overdue(self, *, calm_since: float) -> list[str]:
        """Pods that run longer than they may, and runs that wait longer than they have to, though nothing has been in the way
        for some time."""
        now, found = self.clocks.true.now, []
        for pod in self.all("pods"):
            meta = pod["metadata"]
            most = TIMEOUT * (1 + SLEW) + SLACK
            asked = meta.get("annotations", {}).get(STOP) or "deletionTimestamp" in meta
            asked = asked or meta["labels"].get(RUN_UID_LABEL) in self.moved
            began = self.began.get(meta["uid"], now)
            if is_live(pod) and not asked and now > began + most + BELIEVED and meta["name"] not in self.uncertain:
                found.append(f"{meta['name']} has run for {now - began} s")
        for run in self.all("taskruns"):
            status = run["status"]
            due = self.due.get((run["metadata"]["uid"], status.get("nextAttemptAt", "")))
            if due is None or status.get("reason") != Reason.BACK_OFF or self.was_put:
                continue
            if now > max(due, calm_since) + LATE:
                found.append(f"{run['metadata']['name']} waits for {now - due} s too long")
        return found

    def another_leads(self) -> None:
        """It believes the apiserver at once: times from before are as far off as that one's clock was put."""
        if self.was_put:
            self.moved |= {run["metadata"]["uid"] for run in self.all("taskruns")}

    def put_clock(self, clock: LocalClock, ahead: float) -> None:
        """A clock is set."""
        clock.ahead = ahead
        self.was_put |= clock is self.clocks.apiserver
        if clock in (self.clocks.apiserver, self.clocks.node):
            self.uncertain |= {pod["metadata"]["name"] for pod in self.all("pods")}

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
    for times in (status, *attempts):
        span = [parse_time(times.get(field)) for field in ("startedAt", "finishedAt")]
        hold(span[0] is None or span[1] is None or span[0] <= span[1], "ends before it starts")
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
                hold((own or end.pod in cluster.uncertain) and end.code == 0, f"takes {end} for a success")
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


def _max_attempts(run: Json) -> int:
    spec = run["spec"]
    found: int = (spec if "retry" in spec else spec["task"])["retry"]["maxAttempts"]
    return found


def _timeless(status: Json) -> Json:
    conditions = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status.get("conditions", ())]
    return {**status, "conditions": conditions}
