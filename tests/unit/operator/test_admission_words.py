"""Admission: what keeps a run waiting, in words, and what changes that."""

from functools import partial
from typing import Any

import pytest
from support.admission import NOW, admitted, with_queue
from tidegate_api.bodies import QueueSpecBody
from tidegate_api.times import format_time
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.queueing.queue_state import Limits
from tidegate_operator.queueing.token_bucket import TokenBucket
from tidegate_operator.records.faults import Fault
from tidegate_operator.records.run import Cause

RATE: QueueSpecBody = {"rateLimit": {"runs": 1, "perSeconds": 60}}


def ask(admission: Admission, uid: str, *, namespace: str = "default", queue: str = "q", **fields: Any) -> bool:
    base: dict[str, Any] = {"key": "", "priority": 0, "queued_at": NOW, "number": 1, "first": True}
    return admission.ask(QueueEntry(uid=uid, name=uid, namespace=namespace, queue=queue, **{**base, **fields}))


def wakes(admission: Admission) -> float | None:
    return admission.wake_at


def fault_of(admission: Admission, name: str = "q") -> Fault | None:
    state = admission.queue("default", name)
    assert state is not None
    return state.fault


def test_a_limit_per_key_is_at_least_one() -> None:
    assert Limits.of({"concurrencyLimit": 0, "concurrencyLimitPerKey": 0}) == Limits(runs=0, per_key=1)
    assert Limits.of({"paused": True}) == Limits(paused=True)


def test_a_run_that_only_waits_for_its_turn_says_so() -> None:
    admission = with_queue(RATE)
    ask(admission, "a")
    assert admission.why("a", NOW) == Cause("Queued", "waits for its turn in Queue q")
    assert admission.why("b", NOW) is None
    assert admission.place("b") is None


def test_a_full_key_says_which_and_how_many_of_it_run() -> None:
    admission = with_queue({"concurrencyLimitPerKey": 1})
    for uid, key in (("a1", "anna"), ("a2", "anna"), ("b1", "bert")):
        ask(admission, uid, key=key)
    assert admission.why("b1", NOW) == Cause("Queued", "waits for its turn in Queue q")
    assert admitted(admission) == ["a1", "b1"]
    why = Cause("ConcurrencyLimit", "key 'anna' of Queue q runs 1 of 1 at once")
    assert admission.why("a2", NOW) == why
    admission.set_queue("default", "q", spec={"concurrencyLimitPerKey": 2}, bucket=None)
    assert admitted(admission) == ["a2"]


@pytest.mark.parametrize(
    ("limits", "what"), [({"namespace_limit": 2}, "namespace default"), ({"cluster_limit": 2}, "the cluster")]
)
def test_a_limit_over_all_queues_says_which_and_is_held_to_the_run(limits: dict[str, Any], what: str) -> None:
    admission = with_queue(**limits)
    for uid in "abcd":
        ask(admission, uid)
    assert admitted(admission) == ["a", "b"]
    words = f"{what} runs as many at once as the operator's settings allow"
    assert admission.why("c", NOW) == Cause("ConcurrencyLimit", words)
    admission.free("a")
    assert admission.why("c", NOW) == Cause("Queued", "waits for its turn in Queue q")
    assert admitted(admission) == ["c"]


def test_a_rate_says_when_the_next_first_attempt_may_start() -> None:
    admission = with_queue(RATE)
    for uid in "ab":
        ask(admission, uid)
    ask(admission, "retry", number=2, first=False)
    assert admitted(admission) == ["a", "retry"]
    ask(admission, "retry", number=3, first=False)
    words = f"Queue q lets the next run start at {format_time(NOW + 60)}"
    assert admission.why("b", NOW) == Cause("RateLimit", words)
    assert admission.why("retry", NOW) == Cause("Queued", "waits for its turn in Queue q")
    assert admission.why("b", NOW + 60) == Cause("Queued", "waits for its turn in Queue q")


def test_a_token_is_waited_for_once_and_only_where_it_is_what_is_missing() -> None:
    admission = with_queue({**RATE, "concurrencyLimitPerKey": 1})
    for uid, key in (("a1", "anna"), ("a2", "anna")):
        ask(admission, uid, key=key)
    assert admitted(admission) == ["a1"]
    assert wakes(admission) == NOW + 60
    assert admitted(admission, NOW + 60) == []  # there is a token, and the key is full
    assert wakes(admission) is None
    for priority in range(5):
        ask(admission, "b", key="bert", priority=priority)
        assert admitted(admission, NOW + 60) == (["b"] if priority == 0 else [])
        ask(admission, "c", key="carl", priority=priority)
        assert admitted(admission, NOW + 60) == []
    assert wakes(admission) == NOW + 120
    assert len(admission._refills) == 1
    assert admission.take_faults() == []


def test_a_rate_that_was_raised_is_waited_for_at_its_new_time() -> None:
    admission = with_queue({"rateLimit": {"runs": 1, "perSeconds": 100}})
    for uid in "abc":
        ask(admission, uid)
    assert admitted(admission) == ["a"]
    assert wakes(admission) == NOW + 100
    admission.set_queue("default", "q", spec={"rateLimit": {"runs": 1, "perSeconds": 10}}, bucket=None)
    assert admitted(admission) == []
    assert wakes(admission) == NOW + 10
    assert admitted(admission, NOW + 10) == ["b"]
    assert admitted(admission, NOW + 100) == ["c"]
    assert (wakes(admission), admission.take_faults()) == (None, [])


def test_jobs_that_this_process_did_not_start_take_a_token_each() -> None:
    admission = Admission()
    rate: QueueSpecBody = {"rateLimit": {"runs": 5, "perSeconds": 1000}}
    admission.set_queue("default", "q", spec=rate, bucket={"tokens": "3", "at": format_time(NOW)})
    admission.started_before("default", "q", created=NOW)
    admission.started_before("default", "without-a-rate", created=NOW)
    for uid in "abcd":
        ask(admission, uid)
    assert admitted(admission) == ["a", "b"]


def test_a_queue_that_is_set_aside_starts_nothing_until_it_is_tried_again() -> None:
    admission = Admission()
    fault = Fault.of("reading it", ValueError("no number"))
    ask(admission, "a")
    admission.set_aside("default", "q", fault, now=NOW)
    assert admitted(admission) == []
    assert admission.why("a", NOW) == Cause("QueuePaused", f"Queue q is set aside: {fault.message}")
    state = admission.queue("default", "q")
    assert state is not None
    assert state.fault_at == NOW
    admission.take_changed()
    admission.try_again("default", "q")
    assert admission.take_changed() == {("default", "q")}
    assert fault_of(admission) is None
    assert admitted(admission) == ["a"]


def test_a_queue_with_which_admission_breaks_is_set_aside_and_holds_up_no_other() -> None:
    admission = Admission()
    for queue in ("broken", "sound", "other"):
        admission.set_queue("default", queue, spec=RATE if queue == "broken" else {}, bucket=None)
    state = admission.queue("default", "broken")
    assert state is not None
    state.bucket = TokenBucket(runs=0, per_seconds=1, burst=1, tokens=0.0, at=NOW - 1)
    for queue in ("broken", "sound", "other"):
        ask(admission, queue, queue=queue)
    assert admitted(admission, NOW + 7) == ["sound", "other"]
    ((key, fault, error),) = admission.take_faults()
    assert (key, type(error), state.fault, state.fault_at) == (("default", "broken"), ZeroDivisionError, fault, NOW + 7)
    assert "admitting from it" in fault.message
    assert "ZeroDivisionError" in fault.message
    assert admission.take_faults() == []
    assert admitted(admission, NOW + 7) == []
    for queue in ("broken", "sound"):
        ask(admission, f"{queue}-2", queue=queue)
    assert admitted(admission, NOW + 8) == ["sound-2"]


def test_a_queue_that_goes_holds_its_runs_and_default_holds_none() -> None:
    for queue in ("q", "default"):
        admission = Admission()
        admission.set_queue("default", queue, spec={"concurrencyLimit": 1, **RATE}, bucket=None)
        for uid in "abc":
            ask(admission, uid, queue=queue)
        assert admitted(admission) == ["a"]
        admission.set_aside("default", queue, Fault.of("reading it", ValueError("x")), now=NOW)
        admission.drop_queue("default", queue)
        assert admitted(admission) == (["b", "c"] if queue == "default" else [])
        assert fault_of(admission, queue) is None
    assert admission.why("c", NOW) is None


def test_a_queue_that_is_not_there_says_so() -> None:
    admission = with_queue()
    ask(admission, "a", queue="gone")
    why = Cause("QueueNotFound", "there is no Queue gone in namespace default")
    assert admission.why("a", NOW) == why
    admission.drop_queue("default", "q")
    ask(admission, "b")
    assert admission.why("b", NOW) == Cause("QueueNotFound", "there is no Queue q in namespace default")


def test_what_has_changed_is_reported_once() -> None:
    admission = with_queue(RATE)
    assert admission.take_changed() == {("default", "q")}
    assert admission.take_changed() == set()
    ask(admission, "a")
    assert admission.take_changed() == {("default", "q")}
    admission.refund("default", "q", NOW)
    assert admission.take_changed() == {("default", "q")}
    admission.refund("default", "without-a-rate", NOW)
    assert admission.take_changed() == set()
    for change in (
        partial(admission.withdraw, "a"),
        partial(admission.hold, "b", namespace="default", queue="q", key=""),
        partial(admission.free, "b"),
    ):
        change()
        assert admission.take_changed() == {("default", "q")}
        change()
        assert admission.take_changed() == set()


def test_what_waits_in_a_queue_is_answered() -> None:
    admission = with_queue({"concurrencyLimit": 0})
    assert ask(admission, "a")
    assert ask(admission, "b")
    assert not ask(admission, "a", priority=3)
    admission.take_changed()
    assert not ask(admission, "a", priority=3)
    assert admission.take_changed() == set()
    assert admission.waiting_in("default", "q") == ("b", "a")
    assert admission.waiting_in("default", "nowhere") == ()


def test_a_run_that_goes_to_another_queue_waits_there_alone() -> None:
    admission = with_queue({"concurrencyLimit": 0})
    admission.set_queue("default", "other", spec={}, bucket=None)
    ask(admission, "a")
    assert not ask(admission, "a", queue="other")
    assert (admission.waiting_in("default", "q"), admission.waiting_in("default", "other")) == ((), ("a",))
    assert admitted(admission) == ["a"]
    assert admission.place("a") is None


def test_a_slot_that_is_held_twice_is_one_and_may_be_of_another_key_or_queue() -> None:
    admission = with_queue({"concurrencyLimitPerKey": 1, "concurrencyLimit": 2}, namespace_limit=2)
    ask(admission, "a", key="anna")
    ask(admission, "b", key="bert")
    for _ in range(3):
        admission.hold("x", namespace="default", queue="q", key="anna")
    assert admitted(admission) == ["b"]
    admission.free("b")
    admission.hold("x", namespace="default", queue="q", key="bert")
    assert admitted(admission) == ["a"]
    admission.hold("x", namespace="default", queue="other", key="bert")
    admission.free("a")
    ask(admission, "c", key="bert")
    assert admitted(admission) == ["c"]
    for uid in ("c", "x"):
        admission.free(uid)
        admission.free(uid)
        assert not admission.holds(uid)
    for uid, key in (("d", "anna"), ("e", "bert")):
        ask(admission, uid, key=key)
    assert admitted(admission) == ["d", "e"]
