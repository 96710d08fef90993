"""Admission to WorkerPools: a slot of the queue and one of the pool, or neither."""

import random

from support.admission import NOW, a_ticket, admitted, ask, with_queue
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import QueueEntry


def with_pool(admission: Admission, name: str = "warm", *, slots: int = 1, namespace: str = "default") -> None:
    key = (namespace, name)
    admission.pools.set_pool(key, trouble=None)
    admission.pools.connected(f"worker-{name}", key, slots=slots, accepting=True)


def test_a_run_takes_its_queues_slot_and_its_pools_in_one_step_or_neither() -> None:
    admission = with_queue({"concurrencyLimit": 1})
    with_pool(admission, slots=5)
    ask(admission, a_ticket("a", pool="warm"), a_ticket("b", pool="warm"))
    assert admitted(admission) == ["a"]
    assert admission.pools.count(("default", "warm")).busy == 1
    assert admission.pools.holder_of("a") == "worker-warm"
    assert admission.pools.holder_of("b") is None
    admission.free("a")
    assert admission.pools.holder_of("a") is None
    assert admitted(admission) == ["b"]


def test_a_full_pool_holds_up_nobody_who_does_not_need_it() -> None:
    admission = with_queue({"concurrencyLimitPerKey": 9})
    with_pool(admission)
    with_pool(admission, "other")
    waiting = [a_ticket(f"w{i}", pool="warm", priority=10, queued_at=NOW - 9) for i in range(3)]
    ask(admission, *waiting, a_ticket("cold"), a_ticket("elsewhere", pool="other"))
    assert sorted(admitted(admission)) == ["cold", "elsewhere", "w0"]
    assert (why := admission.why("w1", NOW)) is not None
    assert why.reason == "PoolFull"
    ask(admission, a_ticket("later"))
    assert admitted(admission) == ["later"]
    admission.free("w0")
    assert admitted(admission) == ["w1"]


def test_queues_take_turns_at_a_free_slot_of_a_pool() -> None:
    admission = Admission()
    for queue in ("q", "r"):
        admission.set_queue("default", queue, spec={}, bucket=None)
    with_pool(admission)
    for i in range(3):
        ask(admission, a_ticket(f"q{i}", queue="q", pool="warm"), a_ticket(f"r{i}", queue="r", pool="warm"))
    order = admitted(admission)
    while order[-1:] and len(order) < 6:
        admission.free(order[-1])
        order += admitted(admission)
    assert [name[0] for name in order] in (list("qrqrqr"), list("rqrqrq"))


def test_who_waits_for_a_pool_goes_when_a_worker_comes() -> None:
    admission = with_queue()
    ask(admission, a_ticket("a", pool="warm"))
    assert admitted(admission) == []
    assert (why := admission.why("a", NOW)) is not None
    assert why.reason == "PoolNotFound"
    assert admission.waiting_for_pool(("default", "warm")) == 1
    with_pool(admission)
    assert admitted(admission) == ["a"]
    assert admission.waiting_for_pool(("default", "warm")) == 0


def test_a_pool_of_another_namespace_is_another_pool() -> None:
    admission = with_queue()
    with_pool(admission, namespace="elsewhere")
    ask(admission, a_ticket("a", pool="warm"))
    assert admitted(admission) == []


def test_a_run_whose_task_names_another_pool_waits_for_that() -> None:
    admission = with_queue()
    with_pool(admission, "other")
    ask(admission, a_ticket("a", pool="warm"))
    assert admitted(admission) == []
    ask(admission, a_ticket("a", pool="other"))
    assert admitted(admission) == ["a"]
    assert admission.pools.holder_of("a") == "worker-other"


def test_no_pool_is_passed_its_slots_and_no_run_forgotten_whatever_happens() -> None:
    chance = random.Random(3)  # noqa: S311 - the same story every time
    admission = Admission(namespace_limit=9)
    sizes = {"p0": 2, "p1": 3}
    for name, limit in {"q0": 4, "q1": None}.items():
        admission.set_queue("default", name, spec={} if limit is None else {"concurrencyLimit": limit}, bucket=None)
    running: dict[str, QueueEntry] = {}
    waiting: dict[str, QueueEntry] = {}
    for step in range(4_000):
        act = chance.random()
        if act < 0.45:
            entry = a_ticket(
                f"r{step}",
                queue=f"q{chance.randrange(2)}",
                key=f"k{chance.randrange(2)}",
                pool=chance.choice(["", "p0", "p1"]),
                priority=chance.randrange(3),
                first=chance.random() < 0.5,
            )
            admission.ask(entry)
            waiting[entry.uid] = entry
        elif act < 0.5:
            pool = chance.choice(sorted(sizes))
            admission.pools.set_pool(("default", pool), trouble=None)
            admission.pools.connected(f"w-{pool}", ("default", pool), slots=sizes[pool], accepting=True)
        elif act < 0.53:
            admission.pools.left(f"w-{chance.choice(sorted(sizes))}")
        elif act < 0.9 and running:
            uid = chance.choice(sorted(running))
            admission.free(uid)
            del running[uid]
        elif waiting:
            uid = chance.choice(sorted(waiting))
            admission.withdraw(uid)
            del waiting[uid]
        for entry in admission.admit(NOW):
            running[entry.uid] = waiting.pop(entry.uid)
        for pool, size in sizes.items():
            assert sum(e.pool == pool for e in running.values()) <= size
    for pool, size in sizes.items():
        admission.pools.set_pool(("default", pool), trouble=None)
        admission.pools.connected(f"w-{pool}", ("default", pool), slots=size, accepting=True)
    for _ in range(len(waiting) + len(running) + 9):
        for uid in list(running):
            admission.free(uid)
            del running[uid]
        for entry in admission.admit(NOW):
            running[entry.uid] = waiting.pop(entry.uid)
    assert not waiting
