"""Decisions under crashes at any step, and events that come twice, out of order or never."""

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tidegate_api.names import Phase

from property.model import ENDED, Cluster, Manager

INDEX = st.integers(0, 7)


class Operation(RuleBasedStateMachine):
    """People, kubelets, the Job controller and the operator, each doing one thing at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.operator = Manager(self.cluster)

    @initialize(attempts=st.lists(st.integers(1, 3), min_size=1, max_size=4), limit=st.integers(1, 3))
    def create(self, attempts: list[int], limit: int) -> None:
        self.cluster.limit = limit
        for max_attempts in attempts:
            self.cluster.create_run(max_attempts=max_attempts)
        self.operator = Manager(self.cluster)

    @rule(on=INDEX, when=st.sampled_from(["Succeeded", "Finished"]), key=st.sampled_from([None, "a"]))
    def create_later(self, on: int, when: str, key: str | None) -> None:
        if len(self.cluster.runs) < 6:
            extra = {"concurrencyKey": key} if key else {}
            self.cluster.create_run(max_attempts=1, dependsOn=[{"name": f"run-{on}", "when": when}], **extra)

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        if index % 4 == 0 and (uid := self.pick_run(index)):  # rarely: a cancelled run has few adventures left
            self.cluster.change(uid, cancel=True)

    @rule(index=INDEX, suspend=st.booleans())
    def suspend(self, index: int, suspend: bool) -> None:
        if uid := self.pick_run(index):
            self.cluster.change(uid, suspend=suspend)

    @rule(index=INDEX)
    def delete_run(self, index: int) -> None:
        if index % 3 == 0 and (uid := self.pick_run(index)):
            self.cluster.delete_run(uid)

    @rule()
    def collect(self) -> None:
        self.cluster.collect()

    @rule()
    def lose_an_answer(self) -> None:
        self.operator.unanswered = True

    @rule()
    def reconcile(self) -> None:
        self.operator.reconcile()

    @rule()
    def deliver_and_reconcile(self) -> None:
        self.deliver_all()
        self.reconcile()

    @rule()
    def wait_and_reconcile(self) -> None:
        self.advance(6.0)
        self.reconcile()

    @precondition(lambda self: self.cluster.events)
    @rule(index=INDEX, again=st.booleans())
    def deliver_out_of_order(self, index: int, again: bool) -> None:
        position = index % len(self.cluster.events)
        event = self.cluster.events[position] if again else self.cluster.events.pop(position)
        self.operator.deliver(*event)

    @precondition(lambda self: self.cluster.events)
    @rule(index=INDEX)
    def lose(self, index: int) -> None:
        self.cluster.events.pop(index % len(self.cluster.events))

    @rule()
    def crash(self) -> None:
        self.operator = Manager(self.cluster)

    @rule()
    def sweep(self) -> None:
        self.operator.sweep()

    @rule(index=INDEX)
    def run_pod(self, index: int) -> None:
        if uid := self.pick(index, "Pending"):
            self.cluster.run_pod(uid)

    @rule(index=INDEX, code=st.sampled_from([0, 1, 1, 1, 64]))
    def end_pod(self, index: int, code: int) -> None:
        if uid := self.pick(index, "Running"):
            self.cluster.end_pod(uid, code)

    @rule(index=INDEX)
    def disrupt(self, index: int) -> None:
        if uid := self.pick(index, "Running"):
            self.cluster.disrupt_pod(uid)

    @rule(index=INDEX)
    def delete_job(self, index: int) -> None:
        if self.cluster.jobs:
            self.cluster.delete_job(sorted(self.cluster.jobs)[index % len(self.cluster.jobs)])

    @rule(seconds=st.sampled_from([0.5, 60.0]))
    def advance(self, seconds: float) -> None:
        self.cluster.now += seconds
        self.cluster.enforce_deadlines()

    def deliver_all(self) -> None:
        for event in self.cluster.events:
            self.operator.deliver(*event)
        self.cluster.events.clear()

    def pick(self, index: int, phase: str) -> str | None:
        """A pod in this phase."""
        found = [uid for uid, pod in self.cluster.pods.items() if pod["status"]["phase"] == phase]
        return found[index % len(found)] if found else None

    def pick_run(self, index: int) -> str | None:
        """A run that is there."""
        found = sorted(self.cluster.runs)
        return found[index % len(found)] if found else None

    @invariant()
    def never_two_pods_of_one_run(self) -> None:
        for uid in (*self.cluster.runs, *self.cluster.gone):
            assert len(self.cluster.live_pods(uid)) <= 1

    @invariant()
    def never_more_at_once_than_the_queue_allows(self) -> None:
        live = [uid for uid in (*self.cluster.runs, *self.cluster.gone) if self.cluster.live_pods(uid)]
        assert len(live) <= self.cluster.limit, live

    @invariant()
    def an_attempt_has_one_job(self) -> None:
        names = [job["metadata"]["name"] for job in self.cluster.jobs.values()]
        assert len(names) == len(set(names))

    def teardown(self) -> None:
        """Left alone, every run ends, what had ended is as it was, and no slot is held for ever."""
        for uid in self.cluster.runs:
            self.cluster.change(uid, suspend=False)
        for _ in range(250):
            self.cluster.now += 20
            self.cluster.collect()
            self.cluster.enforce_deadlines()
            for uid, pod in list(self.cluster.pods.items()):
                if pod["status"]["phase"] == "Pending":
                    self.cluster.run_pod(uid)
                elif pod["status"]["phase"] not in ENDED:
                    self.cluster.end_pod(uid, 0)
            self.operator.sweep()
            self.operator.reconcile()
        for uid, run in self.cluster.runs.items():
            assert Phase(run["status"]["phase"]).terminal, f"{uid} never ended: {run['status']}"
            end = self.cluster.ends[uid]
            assert run["status"]["phase"] == end["phase"]
            numbers = [a["number"] for a in run["status"].get("attempts", [])]
            assert numbers == sorted(set(numbers))
        held = {uid for queue in self.operator.cache.admission.queues for uid in queue.holders}
        assert not held, "slots are held for ever"


TestOperation = Operation.TestCase
TestOperation.settings = settings(
    max_examples=300, stateful_step_count=60, deadline=None, derandomize="CI" in os.environ
)
