"""queueing/pool_slots: slots of workers are held by runs, and the freest worker gets the next."""

import random

import pytest
from tidegate_operator.queueing.pool_slots import PoolCount, PoolSlots
from tidegate_operator.records.run import Cause

POOL = ("default", "warm")


def with_workers(**slots: int) -> PoolSlots:
    made = PoolSlots()
    made.set_pool(POOL, trouble=None)
    for pod, count in slots.items():
        made.connected(pod, POOL, slots=count, accepting=True)
    return made


def test_the_worker_with_the_most_to_spare_is_next() -> None:
    slots = with_workers(a=1, b=3)
    assert [slots.take(run, POOL) for run in ("1", "2")] == ["b", "b"]
    assert {slots.take("3", POOL), slots.take("4", POOL)} == {"a", "b"}
    assert not slots.has_room(POOL)
    with pytest.raises(LookupError):
        slots.take("5", POOL)


def test_holding_and_freeing_twice_changes_nothing() -> None:
    slots = with_workers(a=1)
    for _ in range(2):
        slots.hold("run", pod_uid="a", key=POOL)
    assert slots.count(POOL) == PoolCount(workers=1, slots=1, busy=1)
    for _ in range(2):
        slots.free("run")
    assert slots.count(POOL) == PoolCount(workers=1, slots=1, busy=0)
    assert slots.has_room(POOL)


def test_a_run_holds_its_slot_while_its_worker_is_away() -> None:
    slots = with_workers(a=1)
    slots.take("run", POOL)
    slots.left("a")
    assert slots.count(POOL) == PoolCount(workers=0, slots=0, busy=1)
    slots.connected("a", POOL, slots=1, accepting=True)
    assert not slots.has_room(POOL)
    slots.free("run")
    assert slots.has_room(POOL)


def test_a_worker_that_comes_back_with_fewer_slots_takes_none_until_it_has_one() -> None:
    slots = with_workers(a=2)
    slots.take("1", POOL), slots.take("2", POOL)
    slots.connected("a", POOL, slots=1, accepting=True)
    slots.free("1")
    assert not slots.has_room(POOL)
    slots.free("2")
    assert slots.has_room(POOL)


def test_a_worker_gets_no_more_runs_than_it_can_keep_outcomes_of() -> None:
    slots = with_workers(a=2)
    for number in range(3):
        slots.take(f"run-{number}", POOL)
        slots.keeps("a", f"handover-{number}")
        slots.free(f"run-{number}")
    slots.take("fourth", POOL)
    assert not slots.has_room(POOL)
    assert slots.why(POOL) == Cause("PoolFull", "outcomes of WorkerPool warm wait to be written")
    slots.opened.clear()
    for _ in range(2):
        slots.wrote("a", "handover-0")
    assert slots.has_room(POOL)
    assert POOL in slots.opened
    slots.take("fifth", POOL)
    assert not slots.has_room(POOL)


def test_a_worker_that_comes_back_names_the_outcomes_that_it_keeps_again() -> None:
    slots = with_workers(a=1)
    for number in range(2):
        slots.keeps("a", f"handover-{number}")
    slots.left("a")
    slots.connected("a", POOL, slots=1, accepting=True)
    assert slots.has_room(POOL)


def test_a_pool_says_why_it_takes_no_run() -> None:
    slots = PoolSlots()
    assert slots.why(POOL) == Cause("PoolNotFound", "there is no WorkerPool warm in namespace default")
    slots.set_pool(POOL, trouble=Cause("ErrImagePull", "pod warm-1: no such image"))
    why = slots.why(POOL)
    assert why == Cause("PoolNotReady", "no worker of WorkerPool warm is connected: pod warm-1: no such image")
    slots.connected("a", POOL, slots=1, accepting=True)
    assert slots.why(POOL) is None
    slots.take("run", POOL)
    assert slots.why(POOL) == Cause("PoolFull", "all 1 slots of WorkerPool warm are taken")


def test_a_pool_that_is_gone_takes_nothing_more_and_is_forgotten_with_its_last_run() -> None:
    slots = with_workers(a=2)
    slots.take("run", POOL)
    slots.drop_pool(POOL)
    assert not slots.has_room(POOL)
    assert slots.count(POOL).busy == 1
    slots.free("run")
    assert slots.why(POOL) == Cause("PoolNotFound", "there is no WorkerPool warm in namespace default")
    assert slots._pools == {} == slots._workers


def test_no_worker_has_more_than_its_slots_and_none_is_lost_whatever_happens() -> None:
    chance = random.Random(11)  # noqa: S311 - the same story every time
    slots = with_workers()
    sizes = {f"w{i}": 1 + i % 3 for i in range(6)}
    connected: set[str] = set()
    held: dict[str, str] = {}
    for step in range(5_000):
        act = chance.random()
        if act < 0.2:
            pod = chance.choice(sorted(sizes))
            slots.connected(pod, POOL, slots=sizes[pod], accepting=True)
            connected.add(pod)
        elif act < 0.3 and connected:
            pod = chance.choice(sorted(connected))
            slots.left(pod)
            connected.discard(pod)
        elif act < 0.7:
            used = {pod: sum(w == pod for w in held.values()) for pod in sizes}
            assert slots.has_room(POOL) == any(used[pod] < sizes[pod] for pod in connected)
            if slots.has_room(POOL):
                pod = slots.take(f"r{step}", POOL)
                assert pod in connected
                held[f"r{step}"] = pod
                assert sum(w == pod for w in held.values()) <= sizes[pod]
        elif held:
            run = chance.choice(sorted(held))
            slots.free(run)
            del held[run]
        assert slots.count(POOL).busy == len(held)
    assert len(slots._pools[POOL].heap) < 5_000
