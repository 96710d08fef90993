"""Admission: whose turn it is, and that no limit is ever passed."""

import random
from collections import Counter
from typing import Any

import pytest
from support.admission import NOW, a_ticket, admitted, ask, with_queue
from tidegate_api.bodies import QueueSpecBody
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import FairQueue, QueueEntry


def test_higher_priority_goes_first_and_then_the_oldest() -> None:
    admission = with_queue({"concurrencyLimit": 0})
    ask(
        admission,
        a_ticket("young", queued_at=NOW + 1),
        a_ticket("old"),
        a_ticket("urgent", priority=5, queued_at=NOW + 2),
    )
    assert admitted(admission) == []
    admission.set_queue("default", "q", spec={}, bucket=None)
    assert admitted(admission) == ["urgent", "old", "young"]


def test_runs_queued_within_one_second_go_in_the_order_of_their_names() -> None:
    admission = with_queue()
    ask(admission, a_ticket("z", name="page-1"), a_ticket("a", name="page-3"), a_ticket("m", name="page-2"))
    assert admitted(admission) == ["z", "m", "a"]


def test_no_more_than_the_limit_go_at_once_and_a_freed_slot_is_given_on() -> None:
    admission = with_queue({"concurrencyLimit": 2})
    ask(admission, *(a_ticket(f"r{i}", queued_at=NOW + i) for i in range(4)))
    assert admitted(admission) == ["r0", "r1"]
    assert admitted(admission) == []
    admission.free("r1")
    admission.free("r1")  # reported twice
    assert admitted(admission) == ["r2"]


def test_what_holds_a_slot_already_counts_whatever_the_limit_says() -> None:
    admission = with_queue({"concurrencyLimit": 1})
    for uid in ("a", "b", "b"):
        admission.hold(uid, namespace="default", queue="q", key="")
    ask(admission, a_ticket("c"))
    assert admitted(admission) == []
    admission.free("a")
    assert admitted(admission) == []
    admission.free("b")
    assert admitted(admission) == ["c"]


def test_keys_of_equal_priority_take_turns() -> None:
    admission = with_queue({"concurrencyLimit": 1})
    ask(admission, *(a_ticket(f"a{i}", key="a", queued_at=NOW + i) for i in range(3)))
    ask(admission, a_ticket("b0", key="b", queued_at=NOW + 10), a_ticket("c0", key="c", queued_at=NOW + 11))
    order = []
    while going := admitted(admission):
        order += going
        admission.free(going[0])
    assert order == ["a0", "b0", "c0", "a1", "a2"]


def test_new_keys_do_not_starve_one_that_waits_for_its_next_turn() -> None:
    admission = with_queue({"concurrencyLimit": 1})
    ask(admission, *(a_ticket(f"old{i}", key="old") for i in range(2)))
    order: list[str] = []
    for turn in range(6):
        ask(admission, *(a_ticket(f"new{turn}-{i}", key=f"new{turn}-{i}") for i in range(2)))
        (going,) = admitted(admission)
        order.append(going)
        admission.free(going)
    assert [uid for uid in order if uid.startswith("old")] == ["old0", "old1"]


def test_each_key_has_its_own_limit_and_does_not_hold_up_others() -> None:
    admission = with_queue({"concurrencyLimitPerKey": 1})
    ask(admission, *(a_ticket(f"a{i}", key="a") for i in range(3)), *(a_ticket(f"b{i}", key="b") for i in range(2)))
    assert sorted(admitted(admission)) == ["a0", "b0"]
    admission.free("a0")
    assert admitted(admission) == ["a1"]


def test_a_paused_queue_starts_nothing_until_it_goes_on() -> None:
    admission = with_queue({"paused": True})
    ask(admission, a_ticket("r"), a_ticket("again", number=2, first=False))
    assert admitted(admission) == []
    assert admission.why("r", NOW) is not None
    admission.set_queue("default", "q", spec={}, bucket=None)
    assert sorted(admitted(admission)) == ["again", "r"]


def test_a_queue_that_is_not_there_holds_its_runs_but_default_need_not_be() -> None:
    admission = Admission()
    ask(admission, a_ticket("named", queue="mail"), a_ticket("plain", queue="default"))
    assert admitted(admission) == ["plain"]
    why = admission.why("named", NOW)
    assert why is not None
    assert (why.reason, "no Queue mail" in why.message) == ("QueueNotFound", True)
    admission.set_queue("default", "mail", spec={}, bucket=None)
    assert admitted(admission) == ["named"]


def test_a_rate_lets_a_burst_go_and_then_one_by_one() -> None:
    admission = with_queue({"rateLimit": {"runs": 1, "perSeconds": 10, "burst": 2}})
    ask(admission, *(a_ticket(f"r{i}", queued_at=NOW + i) for i in range(4)))
    assert admitted(admission) == ["r0", "r1"]
    assert admission.wake_at == NOW + 10
    assert admitted(admission, NOW + 9) == []
    assert admitted(admission, NOW + 10) == ["r2"]
    assert admitted(admission, NOW + 20) == ["r3"]


def test_a_retry_needs_no_token_and_passes_first_attempts_that_do() -> None:
    admission = with_queue({"rateLimit": {"runs": 1, "perSeconds": 10}})
    ask(admission, a_ticket("r0"))
    assert admitted(admission) == ["r0"]
    ask(admission, a_ticket("r1", priority=9), a_ticket("retry", number=2, first=False))
    assert admitted(admission) == ["retry"]


def test_a_start_that_was_refused_gives_its_token_back() -> None:
    admission = with_queue({"rateLimit": {"runs": 1, "perSeconds": 1000}})
    ask(admission, a_ticket("r0"), a_ticket("r1", queued_at=NOW + 1))
    assert admitted(admission) == ["r0"]
    admission.refund("default", "q", NOW)
    admission.free("r0")
    assert admitted(admission) == ["r1"]


def test_after_a_restart_the_written_bucket_and_the_jobs_since_say_what_is_left() -> None:
    rate: QueueSpecBody = {"rateLimit": {"runs": 5, "perSeconds": 100}}
    admission = Admission()
    admission.set_queue("default", "q", spec=rate, bucket={"tokens": "3", "at": "1970-01-12T13:46:40Z"})
    for created in (NOW - 5, NOW, NOW + 1):
        admission.started_before("default", "q", created=created)
    ask(admission, *(a_ticket(f"r{i}") for i in range(5)))
    assert len(admitted(admission, NOW + 2)) == 1


def test_limits_of_namespace_and_cluster_hold_over_all_queues() -> None:
    admission = Admission(namespace_limit=2, cluster_limit=3)
    for namespace in ("a", "b"):
        for queue in ("default", "mail"):
            admission.set_queue(namespace, queue, spec={}, bucket=None)
            ask(admission, *(a_ticket(f"{namespace}-{queue}-{i}", namespace=namespace, queue=queue) for i in range(3)))
    going = admitted(admission)
    assert len(going) == 3
    assert max(Counter(uid[0] for uid in going).values()) == 2
    assert admission.why(next(t for t in ("a-mail-2", "b-mail-2") if t not in going), NOW) is not None
    seen = list(going)
    while seen:
        admission.free(seen.pop(0))
        seen += admitted(admission)
        going = seen if len(seen) > len(going) else going
    assert not any(admission.place(f"{n}-{q}-{i}") for n in "ab" for q in ("default", "mail") for i in range(3))


def test_a_change_of_priority_changes_the_place() -> None:
    admission = with_queue({"concurrencyLimit": 0})
    ask(admission, a_ticket("a"), a_ticket("b", queued_at=NOW + 1))
    place = admission.place("b")
    assert place is not None
    assert (place.position, place.ahead_by_priority, place.waiting) == (2, 0, 2)
    ask(admission, a_ticket("b", queued_at=NOW + 1, priority=1))
    place = admission.place("a")
    assert place is not None
    assert (place.position, place.ahead_by_priority) == (2, 1)


def test_a_run_that_was_withdrawn_is_not_let_in() -> None:
    admission = with_queue()
    ask(admission, a_ticket("a"), a_ticket("b"))
    admission.withdraw("a")
    assert admitted(admission) == ["b"]
    assert admission.why("a", NOW) is None


@pytest.mark.parametrize("what", ["cancelled", "reprioritised"])
def test_what_left_the_line_does_not_pile_up_behind_a_head_that_stays(what: str) -> None:
    line = FairQueue()
    line.put(a_ticket("first", queued_at=NOW - 1))
    for i in range(10_000):
        line.put(a_ticket(f"r{i}" if what == "cancelled" else "same", queued_at=NOW + i))
        if what == "cancelled":
            line.drop(f"r{i}")
    heaps: list[list[Any]] = [*line._tops.values(), line._ages]
    heaps += [lane for key in line._keys.values() for lane in key.lanes.values()]
    assert sum(len(heap) for heap in heaps) < 500
    assert line.oldest == NOW - 1


def test_limits_hold_and_no_run_is_forgotten_whatever_happens() -> None:
    chance = random.Random(7)  # noqa: S311 - the same story every time
    admission = Admission(cluster_limit=7)
    limits = {"q0": 3, "q1": 2, "q2": None}
    for name, limit in limits.items():
        spec: QueueSpecBody = {"concurrencyLimitPerKey": 2} if limit is None else {"concurrencyLimit": limit}
        admission.set_queue("default", name, spec=spec, bucket=None)
    running: dict[str, QueueEntry] = {}
    waiting: set[str] = set()
    for step in range(5_000):
        act = chance.random()
        if act < 0.5:
            entry = a_ticket(
                f"r{step}",
                queue=f"q{chance.randrange(3)}",
                key=chance.choice("abc"),
                priority=chance.randrange(3),
                queued_at=NOW + step,
            )
            admission.ask(entry)
            waiting.add(entry.uid)
        elif act < 0.55 and waiting:
            uid = chance.choice(sorted(waiting))
            admission.withdraw(uid)
            waiting.discard(uid)
        elif running:
            uid = chance.choice(sorted(running))
            admission.free(uid)
            del running[uid]
        for entry in admission.admit(NOW + step):
            running[entry.uid] = entry
            waiting.remove(entry.uid)
        counts = Counter(t.queue for t in running.values())
        keys = Counter(t.key for t in running.values() if t.queue == "q2")
        assert len(running) <= 7
        assert all(counts[name] <= (limit or 99) for name, limit in limits.items())
        assert max(keys.values(), default=0) <= 2
    while running or waiting:
        before = len(running) + len(waiting)
        for uid in list(running):
            admission.free(uid)
            del running[uid]
        for entry in admission.admit(NOW):
            running[entry.uid] = entry
            waiting.remove(entry.uid)
        assert len(running) + len(waiting) < before


@pytest.mark.parametrize(
    ("limit", "apart"), [("namespace_limit", False), ("cluster_limit", False), ("cluster_limit", True)]
)
def test_queues_take_turns_at_the_slots_that_a_limit_over_all_of_them_leaves(limit: str, apart: bool) -> None:
    admission = Admission(**{limit: 2})
    going: list[str] = []
    for queue, waiting in (("busy", 20), ("late", 3), ("later", 2)):
        namespace = queue if apart else "default"
        admission.set_queue(namespace, queue, spec={}, bucket=None)
        ask(admission, *(a_ticket(f"{queue}-{i:02}", namespace=namespace, queue=queue) for i in range(waiting)))
        going += admitted(admission)
    order = []
    for _ in range(8):
        admission.free(going.pop(0))
        order += (new := admitted(admission))
        going += new
    assert [uid[:-3] for uid in order] == ["busy", "late", "later", "busy", "late", "later", "busy", "late"]


def test_a_namespace_at_its_limit_leaves_the_room_of_the_cluster_to_others() -> None:
    admission = Admission(namespace_limit=1, cluster_limit=3)
    ask(admission, *(a_ticket(f"a-{i}", namespace="a", queue="default", queued_at=NOW + i) for i in range(3)))
    assert admitted(admission) == ["a-0"]
    ask(admission, *(a_ticket(f"{n}-0", namespace=n, queue="default") for n in "bcd"))
    assert admitted(admission) == ["b-0", "c-0"]
    admission.free("b-0")
    assert admitted(admission) == ["d-0"]
    admission.free("a-0")
    assert admitted(admission) == ["a-1"]
    admission.free("c-0")
    assert admitted(admission) == []
