"""The real operator on a fake apiserver, under crashes at any step, events that come twice, out of order or never, and answers
that are lost. What it finds becomes a scenario in ``test_found.py``.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.builders import a_queue, a_run
from support.fake_apiserver import Json
from support.fake_cluster import is_live
from support.fake_network import Network
from support.virtual_loop import Clocks, LocalClock
from tidegate_api.names import Phase

from property.clock_offsets import AHEAD, MOST_AHEAD, STEPS, set_clocks
from property.operator_process import OperatorProcess
from property.promises import CheckedCluster, leftovers, problems_of_end

T = TypeVar("T")
INDEX: Final = st.integers(0, 7)
FAULTS: Final = ("lost", "lost", "refused", "stored", "busy", "broken")
QUEUE: Final = "mail"
STOPPED_WITHIN: Final = 20.0
"""Seconds after which nothing of a cancelled run runs, once nothing is in the way."""
SETTLES_WITHIN: Final = 40.0
"""Seconds after which all that was due has happened, once nothing is in the way."""
MOST_AT_ONCE: Final = 25
"""Requests for each run, and as many for two more, that the operator may make in one moment: lists of everything included."""


class Operation(RuleBasedStateMachine):
    """People, kubelets, controllers, the network and the operator, each doing one thing at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.clocks = Clocks()
        self.clock = self.clocks.true
        self.cluster = CheckedCluster(self.clocks)
        self.network = Network(self.cluster, self.clock)
        self.begun = 0
        """Processes of the operator that have begun: its replicas lead in turn."""
        self.limit = 1
        self.per_key: int | None = None
        self.lagging: set[str] = set()
        """Of "watches", "jobs", "garbage" and "kubelets": those that do nothing at present."""
        self.process: OperatorProcess | None = None

    @initialize(
        attempts=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        limit=st.integers(1, 3),
        per_key=st.sampled_from([None, 1]),
        lagging=st.sets(st.sampled_from(["watches", "jobs", "garbage", "kubelets"]), max_size=2),
        ahead=AHEAD,
    )
    def create(
        self,
        attempts: list[int],
        limit: int,
        lagging: set[str],
        per_key: int | None = None,
        ahead: dict[str, float] | None = None,
    ) -> None:
        set_clocks(self.clocks, ahead or {})
        self.limit, self.per_key, self.lagging = limit, per_key, set(lagging)
        limits = {"concurrencyLimit": limit, **({"concurrencyLimitPerKey": per_key} if per_key else {})}
        self.cluster.add("queues", a_queue(QUEUE, **limits))
        for max_attempts in attempts:
            self.create_run(max_attempts)
        self.process = self.begin_process()
        self.work()

    # What people do

    @rule(
        on=st.none() | INDEX,
        when=st.sampled_from(["Succeeded", "Finished"]),
        key=st.sampled_from([None, "a"]),
        ttl=st.sampled_from([None, None, 30]),
    )
    def create_later(self, on: int | None, when: str, key: str | None, ttl: int | None) -> None:
        if len(self.cluster.objects["taskruns"]) < 6:
            extra: Json = {"concurrencyKey": key} if key else {}
            extra |= {"ttlSecondsAfterFinished": ttl} if ttl else {}
            extra |= {"dependsOn": [{"name": f"run-{on}", "when": when}]} if on is not None else {}
            self.create_run(1, **extra)
        self.work()

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        if index % 4 == 0:  # rarely: a cancelled run has few adventures left
            self.change(index, cancel=True)

    @rule(index=INDEX, suspend=st.booleans())
    def suspend(self, index: int, suspend: bool) -> None:
        self.change(index, suspend=suspend)

    @rule(index=INDEX)
    def delete_run(self, index: int) -> None:
        if index % 3 == 0 and (run := pick(self.cluster.all("taskruns"), index)):
            self.cluster.delete("taskruns", run)
        self.work()

    @rule(index=INDEX, propagation=st.sampled_from(["Background", "Foreground"]))
    def delete_job(self, index: int, propagation: str) -> None:
        if job := pick(self.cluster.all("jobs"), index):
            self.cluster.meddled.add(job["metadata"]["ownerReferences"][0]["uid"])
            self.cluster.delete("jobs", job, propagation=propagation)
        self.work()

    @rule(index=INDEX)
    def delete_pod(self, index: int) -> None:
        if pod := pick(self.cluster.all("pods"), index):
            self.cluster.meddled.add(pod["metadata"]["labels"]["tidegate.dev/run-uid"])
            self.cluster.delete("pods", pod)
        self.work()

    # What the cluster does

    @rule(who=st.sampled_from(["watches", "jobs", "garbage", "kubelets"]), lags=st.booleans())
    def lag(self, who: str, lags: bool) -> None:
        self.lagging = self.lagging | {who} if lags else self.lagging - {who}
        self.work()

    @rule(index=INDEX)
    def bind_pod(self, index: int) -> None:
        if pod := pick((p for p in self.pods("Pending") if not p["spec"].get("nodeName")), index):
            self.cluster.bind(pod)
        self.work()

    @rule(index=INDEX)
    def run_pod(self, index: int) -> None:
        if pod := pick(self.pods("Pending"), index):
            self.cluster.run_pod(pod)
        self.work()

    @rule(index=INDEX, code=st.sampled_from([0, 1, 1, 1, 64]))
    def end_pod(self, index: int, code: int) -> None:
        if pod := pick(self.pods("Running"), index):
            self.cluster.end_pod(pod, code)
        self.work()

    @rule(index=INDEX)
    def disrupt(self, index: int) -> None:
        if pod := pick(self.pods("Running"), index):
            self.cluster.disrupt(pod)
        self.work()

    @rule(seconds=st.sampled_from([0.5, 6.0, 60.0]))
    def advance(self, seconds: float) -> None:
        self.pass_time(seconds)

    # What becomes of events and requests

    @precondition(lambda self: self.cluster.untold)
    @rule(index=INDEX, again=st.booleans())
    def deliver_out_of_order(self, index: int, again: bool) -> None:
        position = index % len(self.cluster.untold)
        untold = self.cluster.untold
        self.running.deliver(untold[position] if again else untold.pop(position))
        self.work()

    @precondition(lambda self: self.cluster.untold)
    @rule(index=INDEX)
    def lose_event(self, index: int) -> None:
        self.cluster.untold.pop(index % len(self.cluster.untold))

    @precondition(lambda self: self.cluster.events)
    @rule(back=st.integers(1, 20))
    def repeat_event(self, back: int) -> None:
        """One that was reported before comes again."""
        self.running.deliver(self.cluster.events[-min(back, len(self.cluster.events))])
        self.work()

    @rule()
    def relist(self) -> None:
        self.running.relist()
        self.work()

    @rule(expired=st.booleans())
    def cut_watch(self, expired: bool) -> None:
        self.running.cut_watch(expired=expired)
        self.work()

    @rule()
    def sweep(self) -> None:
        self.running.sweep()
        self.pass_time(0.3)

    @rule(fault=st.sampled_from(FAULTS))
    def fail_next_write(self, fault: str) -> None:
        self.network.faults.append(fault)

    @rule(fault=st.sampled_from(FAULTS))
    def fail_next_creation(self, fault: str) -> None:
        self.network.creation_faults.append(fault)

    @rule()
    def hold_requests(self) -> None:
        self.network.held = True

    @rule()
    def release_requests(self) -> None:
        self.network.release()
        self.work()

    @precondition(lambda self: self.network.calls)
    @rule(index=INDEX, how=st.sampled_from(["carry out", "let through", "break off"]))
    def move_request(self, index: int, how: str) -> None:
        call = self.network.calls[index % len(self.network.calls)]
        if how == "carry out":
            self.network.carry_out(call)
        elif how == "let through":
            self.network.let_through(call)
        else:
            self.network.break_off(call)
        self.work()

    # What becomes of the operator

    @rule(fenced=st.booleans())
    def fence(self, fenced: bool) -> None:
        self.running.fenced = fenced
        self.work()

    @rule(arrived=st.booleans())
    def crash(self, arrived: bool) -> None:
        """What was under way has arrived, or never will. It doesn't arrive once the next process has listed everything: that
        one begins after the connections have ended, or has waited for a Lease that outlives them."""
        if arrived:
            for call in list(self.network.calls):
                self.network.carry_out(call)
        self.end_process()
        self.network.calls.clear()
        self.network.held = False
        self.process = self.begin_process()
        self.work()

    def begin_process(self) -> OperatorProcess:
        return OperatorProcess(self.cluster, self.network, self.clocks, self.next_replica())

    def next_replica(self) -> LocalClock:
        """The clock of the replica that leads next."""
        self.begun += 1
        self.cluster.another_leads()
        return self.clocks.replicas[self.begun % 2]

    def end_process(self) -> None:
        self.running.kill()

    # How time passes

    @rule(whose=st.sampled_from(["apiserver", "node", "replica", "workers"]), by=st.sampled_from(STEPS))
    def put_clock(self, whose: str, by: float) -> None:
        """A clock is put forward or back."""
        leads = self.clocks.replicas[self.begun % 2]
        clock: LocalClock = leads if whose == "replica" else getattr(self.clocks, whose)
        most = MOST_AHEAD / 2 if whose == "apiserver" else MOST_AHEAD
        self.cluster.put_clock(clock, min(max(clock.ahead + by, -most), most))
        self.work()

    @property
    def running(self) -> OperatorProcess:
        assert self.process is not None
        return self.process

    def work(self) -> None:
        """All that don't lag do what there is to do, until nothing is left."""
        self.network.served = 0
        while True:
            version = self.cluster.version
            if "jobs" not in self.lagging:
                self.cluster.control_jobs()
            if "garbage" not in self.lagging:
                self.cluster.collect()
            if "kubelets" not in self.lagging:
                self.cluster.kubelets()
            if "watches" not in self.lagging:
                untold, self.cluster.untold = self.cluster.untold, []
                for event in untold:
                    self.running.deliver(event)
            self.running.run()
            moved = self.others_work()
            if version == self.cluster.version and not moved:
                break
        self.check_now()

    def others_work(self) -> bool:
        """What else there is does what it can. Says whether anything has happened."""
        return False

    @property
    def wakes_at(self) -> float | None:
        """When something happens by itself."""
        return self.running.wakes_at

    def pass_time(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while (wakes_at := self.wakes_at) is not None and wakes_at <= until:
            self.clock.now = max(self.clock.now, wakes_at)
            self.work()
        self.clock.now = until
        self.work()

    def create_run(self, max_attempts: int, **spec: object) -> None:
        name = f"run-{len(self.cluster.finished) + len(self.cluster.objects['taskruns'])}"
        retry = {"maxAttempts": max_attempts, "initialDelaySeconds": 2}
        run = a_run(name).task(timeoutSeconds=50, retry=retry).spec(queue=QUEUE, dependencyTimeoutSeconds=100, **spec)
        if ("default", name) not in self.cluster.objects["taskruns"]:
            self.cluster.create_run(run.built)

    def change(self, index: int, **spec: bool) -> None:
        if run := pick(self.cluster.all("taskruns"), index):
            self.cluster.change_run(run["metadata"]["uid"], **spec)
        self.work()

    def pods(self, phase: str) -> Iterable[Json]:
        return (p for p in self.cluster.all("pods") if p["status"]["phase"] == phase)

    # What must hold at all times

    def check_now(self) -> None:
        most = MOST_AT_ONCE * (len(self.cluster.objects["taskruns"]) + 2)
        assert self.network.served <= most, f"{self.network.served} requests at one moment"
        assert not self.cluster.broken, self.cluster.broken
        uids = [pod["metadata"]["labels"]["tidegate.dev/run-uid"] for pod in self.cluster.all("pods") if is_live(pod)]
        assert len(uids) == len(set(uids)), "two pods of one run live"
        occupying = self.cluster.occupying()
        assert len(occupying) <= self.limit, f"more at once than the queue allows: {occupying}"
        of_key = [uid for uid in occupying if self.cluster.has_key(uid)]
        assert self.per_key is None or len(of_key) <= self.per_key, (
            f"more at once of one key than the queue allows: {of_key}"
        )

    @invariant()
    def no_part_of_the_operator_has_broken(self) -> None:
        assert self.process is None or not self.process.broken, self.running.broken

    def teardown(self) -> None:
        """Left alone, every run ends, what had ended is as it was, no slot is held for ever, and rest comes."""
        if self.process is None:
            return
        try:
            self.recover()
            self.check_ends()
            self.check_rest()
        finally:
            self.running.kill()

    def recover(self) -> None:
        self.lagging, self.running.fenced = set(), False
        self.network.faults.clear()
        self.network.creation_faults.clear()
        self.network.release()
        for run in self.cluster.all("taskruns"):
            self.cluster.change_run(run["metadata"]["uid"], suspend=False)
        self.running.relist()
        self.running.cut_watch(expired=True)
        calm_since = self.clock.now
        self.pass_time(SETTLES_WITHIN)
        assert not (late := self.cluster.overdue(calm_since=calm_since)), late
        if self.cluster.cancelled_and_live():
            self.pass_time(STOPPED_WITHIN)
            going_on = self.cluster.cancelled_and_live()
            assert not going_on, f"cancelled, and not stopped: {going_on}"
        for _ in range(60):
            self.pass_time(20)
            self.end_what_runs()
            ended = all(Phase(run["status"]["phase"]).terminal for run in self.cluster.all("taskruns"))
            if ended and not leftovers(self.cluster):
                break
        # After an apiserver's clock was put back, what is deleted after its TTL is deleted so much later.
        self.pass_time(60 + 2 * MOST_AHEAD if self.cluster.was_put else 60)

    def end_what_runs(self) -> None:
        for pod in self.pods("Running"):
            self.cluster.end_pod(pod, 0)
        for pod in self.pods("Pending"):
            self.cluster.run_pod(pod)

    def check_ends(self) -> None:
        problems = [p for run in self.cluster.all("taskruns") for p in problems_of_end(self.cluster, run)]
        problems += leftovers(self.cluster)
        there = {run["metadata"]["uid"] for run in self.cluster.all("taskruns")}
        problems += [f"{uid} is gone, and is not forgotten" for uid in self.running.cache.runs.keys() - there]
        problems += [f"{uid} holds a slot" for q in self.running.cache.admission.queues for uid in q.holders]
        assert not problems, problems

    def check_rest(self) -> None:
        """Nothing happens, so nothing is written."""
        writes = self.cluster.writes
        self.pass_time(400)
        assert self.cluster.writes == writes, "something was written although nothing happens"
        assert not self.running.broken, self.running.broken


def pick(found: Iterable[T], index: int) -> T | None:
    several = list(found)
    return several[index % len(several)] if several else None
