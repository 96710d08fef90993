"""workqueue: one worker a key, an error of one key stays with that key, and it sleeps while there is nothing to do."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tidegate_operator.control.workqueue import FAULTS_TRIED, NOTHING, STEPS_IN_A_ROW, Work, Workqueue
from tidegate_operator.kube.errors import KubeError, NotLeadingError
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.faults import Fault, Ref
from tidegate_operator.state.keys import Key
from tidegate_operator.state.quarantine import RETRY_SECONDS, Quarantine

KIND = "taskruns"


def key(name: str) -> Key:
    return (KIND, name)


class Things:
    """A handler whose decisions are given by the test, by name."""

    def __init__(self) -> None:
        self.decisions: dict[str, Callable[[], Work]] = {}
        self.decided: Counter[str] = Counter()
        self.set_aside_for: list[tuple[str, str]] = []
        self.recovered_names: list[str] = []
        self.drains = 0
        self.drain: Callable[[], None] = lambda: None

    def decide(self, ident: str) -> Work:
        self.decided[ident] += 1
        return self.decisions.get(ident, lambda: NOTHING)()

    def ref(self, ident: str) -> Ref:
        return Ref(kind=KIND, namespace="default", name=ident, uid=ident)

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        self.set_aside_for.append((ident, fault.message))
        return None

    async def recovered(self, ident: str) -> None:
        self.recovered_names.append(ident)

    def drained(self) -> None:
        self.drains += 1
        self.drain()


class Stage:
    """A workqueue under a clock that the test moves."""

    def __init__(self, *, places: int = 4) -> None:
        self.now = 1_000_000.0
        self.ready = True
        self.things, self.metrics = Things(), Metrics()
        self.quarantine = Quarantine(self.metrics)
        self.turns = 0
        self.queue = Workqueue(
            is_ready=self._is_ready,
            quarantine=self.quarantine,
            metrics=self.metrics,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
        )
        self.queue.serve(KIND, self.things, places=places)

    def _is_ready(self) -> bool:
        self.turns += 1
        return self.ready

    async def settle(self) -> None:
        """Until nothing more happens at this moment: turns of the event loop, not time."""
        for _ in range(300):
            await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        self.now += seconds
        self.queue.wake()
        await self.settle()

    def play(self, script: Callable[["Stage"], Coroutine[Any, Any, None]]) -> "Stage":
        async def run() -> None:
            running = asyncio.create_task(self.queue.run())
            await script(self)
            await self.queue.stop()
            await running

        asyncio.run(run())
        return self


def raises(error: Exception) -> Callable[[], Work]:
    def decide() -> Work:
        raise error

    return decide


def does(act: Callable[[], Awaitable[None]]) -> Callable[[], Work]:
    return lambda: Work(act)


def test_what_waits_costs_no_turn_of_the_loop() -> None:
    async def script(stage: Stage) -> None:
        stage.queue.add(key("held"))
        await stage.settle()
        assert stage.turns <= 3

    assert Stage().play(script).things.decided["held"] == 1


def test_nothing_is_looked_at_before_everything_was_listed() -> None:
    async def script(stage: Stage) -> None:
        stage.ready = False
        stage.queue.add(key("early"))
        await stage.settle()
        assert not stage.things.decided
        stage.ready = True
        stage.queue.wake()
        await stage.settle()

    assert Stage().play(script).things.decided["early"] == 1


def test_the_lag_is_that_of_the_first_change_of_what_has_waited_longest() -> None:
    async def script(stage: Stage) -> None:
        stage.ready = False
        stage.queue.add(key("old"))
        stage.now += 5
        stage.queue.add(key("old"))
        stage.queue.add(key("new"))
        stage.now += 2
        stage.ready = True
        stage.queue.wake()
        await stage.settle()

    registry = Stage().play(script).metrics.registry
    assert registry.get_sample_value("tidegate_reconcile_lag_seconds_sum", {"kind": KIND}) == 7
    assert registry.get_sample_value("tidegate_reconcile_lag_seconds_count", {"kind": KIND}) == 1


def test_a_key_is_never_in_two_workers_and_is_looked_at_again_when_it_changed_meanwhile() -> None:
    async def script(stage: Stage) -> None:
        at_work, gate = [], asyncio.Event()

        async def act() -> None:
            at_work.append(1)
            assert len(at_work) == 1
            await gate.wait()
            at_work.pop()
            stage.things.decisions.pop("r", None)

        stage.things.decisions["r"] = does(act)
        stage.queue.add(key("r"))
        await stage.settle()
        for _ in range(5):
            stage.queue.add(key("r"))
        await stage.settle()
        assert stage.things.decided["r"] == 1
        gate.set()
        await stage.settle()

    assert Stage().play(script).things.decided["r"] == 2


def test_an_error_in_one_decision_neither_ends_nor_delays_the_others() -> None:
    async def script(stage: Stage) -> None:
        stage.things.decisions["odd"] = raises(OverflowError("too large"))
        for name in ("before", "odd", "after"):
            stage.queue.add(key(name))
        await stage.settle()
        assert (stage.things.decided["before"], stage.things.decided["after"]) == (1, 1)
        assert stage.things.drains

    Stage().play(script)


def test_a_fault_backs_off_then_the_object_is_set_aside_and_tried_again_every_five_minutes() -> None:
    async def script(stage: Stage) -> None:
        stage.things.decisions["odd"] = raises(ValueError("no time"))
        stage.queue.add(key("odd"))
        await stage.settle()
        for _ in range(FAULTS_TRIED):
            assert stage.things.set_aside_for == []
            await stage.later(6)
        ((name, message),) = stage.things.set_aside_for
        assert name == "odd"
        assert "deciding on it broke: ValueError: no time" in message
        assert stage.quarantine.size == 1
        assert 'tidegate_set_aside_objects{kind="taskruns"} 1.0' in scrape(stage.metrics)
        tried = stage.things.decided["odd"]
        await stage.later(RETRY_SECONDS - 10)
        assert stage.things.decided["odd"] == tried
        await stage.later(20)
        assert stage.things.decided["odd"] == tried + 1

    Stage().play(script)


def test_an_object_that_is_set_aside_is_tried_when_it_changes_and_recovers() -> None:
    async def script(stage: Stage) -> None:
        stage.things.decisions["odd"] = raises(ValueError("no time"))
        stage.queue.add(key("odd"))
        for _ in range(FAULTS_TRIED + 1):
            await stage.later(6)
        assert stage.quarantine.size == 1
        del stage.things.decisions["odd"]
        stage.queue.add(key("odd"))
        await stage.settle()
        assert stage.things.recovered_names == ["odd"]
        assert stage.quarantine.size == 0
        assert 'tidegate_set_aside_objects{kind="taskruns"} 0.0' in scrape(stage.metrics)

    Stage().play(script)


@pytest.mark.parametrize(
    "error",
    [
        KubeError(code=500, reason="InternalError", message="etcd"),
        KubeError(code=409, reason="Conflict", message="changed"),
        TimeoutError(),
        ConnectionResetError(),
    ],
)
def test_errors_of_the_surroundings_are_tried_for_as_long_as_they_last(error: Exception) -> None:
    async def script(stage: Stage) -> None:
        async def act() -> None:
            raise error

        stage.things.decisions["r"] = does(act)
        stage.queue.add(key("r"))
        for _ in range(20):
            await stage.later(6)
        assert stage.things.decided["r"] >= 20
        assert stage.things.set_aside_for == []

    Stage().play(script)


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_write_that_the_apiserver_never_takes_sets_the_object_aside(code: int) -> None:
    async def script(stage: Stage) -> None:
        async def act() -> None:
            raise KubeError(code=code, reason="Invalid", message="status.message: Too long")

        stage.things.decisions["r"] = does(act)
        stage.queue.add(key("r"))
        for _ in range(FAULTS_TRIED + 1):
            await stage.later(6)
        assert [name for name, _ in stage.things.set_aside_for] == ["r"]

    Stage().play(script)


def test_a_lost_lease_is_no_fault_of_the_object() -> None:
    async def script(stage: Stage) -> None:
        async def act() -> None:
            raise NotLeadingError("standby")

        stage.things.decisions["r"] = does(act)
        stage.queue.add(key("r"))
        for _ in range(10):
            await stage.later(2)
        assert stage.things.decided["r"] >= 10
        assert stage.things.set_aside_for == []

    Stage().play(script)


def test_what_goes_round_in_a_circle_is_slowed_down() -> None:
    async def script(stage: Stage) -> None:
        async def act() -> None:
            """Nothing comes of it, so the next decision is the same."""

        stage.things.decisions["round"] = does(act)
        stage.queue.add(key("round"))
        await stage.settle()
        await stage.settle()
        assert stage.things.decided["round"] == STEPS_IN_A_ROW + 1

    Stage().play(script)


def test_what_follows_from_decisions_may_break_and_others_go_on() -> None:
    async def script(stage: Stage) -> None:
        def drain() -> None:
            raise RuntimeError("admission")

        stage.things.drain = drain
        stage.queue.add(key("a"))
        await stage.settle()
        stage.queue.add(key("b"))
        await stage.settle()
        assert (stage.things.decided["a"], stage.things.decided["b"]) == (1, 1)

    Stage().play(script)


def test_no_more_keys_are_acted_on_at_once_than_there_are_places() -> None:
    async def script(stage: Stage) -> None:
        at_work: set[str] = set()
        gate = asyncio.Event()

        def act(name: str) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                at_work.add(name)
                assert len(at_work) <= 2
                await gate.wait()
                at_work.discard(name)
                stage.things.decisions.pop(name, None)

            return work

        for name in "abcd":
            stage.things.decisions[name] = does(act(name))
            stage.queue.add(key(name))
        await stage.settle()
        assert len(at_work) == 2
        gate.set()
        await stage.settle()
        assert not stage.things.decisions

    Stage(places=2).play(script)


def test_what_may_wait_is_done_one_at_a_time() -> None:
    async def script(stage: Stage) -> None:
        gate = asyncio.Event()
        begun: list[str] = []

        def act(name: str) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                begun.append(name)
                await gate.wait()
                stage.things.decisions.pop(name, None)

            return work

        for name in "ab":
            stage.things.decisions[name] = lambda name=name: Work(act(name), deferrable=True)  # type: ignore[misc]
            stage.queue.add(key(name))
        await stage.settle()
        assert begun == ["a"]
        gate.set()

    Stage().play(script)


def scrape(metrics: Metrics) -> str:
    from prometheus_client import generate_latest

    return generate_latest(metrics.registry).decode()
