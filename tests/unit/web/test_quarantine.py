"""What is set aside: counted, reported once a version, tried again, released."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs
from tidegate_web.mirror import quarantine
from tidegate_web.mirror.quarantine import Quarantine


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def held(clock: Clock, registry: CollectorRegistry) -> Quarantine:
    gauge = Gauge("set_aside", "Those.", ["kind"], registry=registry)
    return Quarantine(gauge=gauge, retry_seconds=300, now=clock)


def put(held: Quarantine, uid: str, *, version: str = "1", retry: Callable[[], None] | None = None) -> None:
    held.set_aside("TaskRun", uid, ValueError("odd"), name=uid, version=version, retry=retry)


def test_the_metric_counts_those_that_are_set_aside_now(held: Quarantine, registry: CollectorRegistry) -> None:
    def count() -> float | None:
        return registry.get_sample_value("set_aside", {"kind": "TaskRun"})

    put(held, "a")
    put(held, "a", version="2")
    put(held, "b")
    assert count() == 2
    held.release("TaskRun", "a")
    held.release("Pod", "b")
    assert count() == 1
    held.clear()
    assert count() == 0


def test_one_line_with_a_trace_for_each_version(held: Quarantine) -> None:
    with capture_logs() as lines:
        for version in ("1", "1", "2", "2"):
            put(held, "a", version=version)
        put(held, "b")
    assert [(line["uid"], line["version"]) for line in lines] == [("a", "1"), ("a", "2"), ("b", "1")]
    assert all(isinstance(line["exc_info"], ValueError) for line in lines)


def test_it_is_due_every_five_minutes(held: Quarantine, clock: Clock) -> None:
    tried: list[str] = []
    put(held, "a", retry=lambda: tried.append("a"))
    put(held, "its door tries it")
    for now, due in ((299, 0), (300, 1), (301, 0), (599, 0), (600, 1)):
        clock.now = now
        found = held.due()
        assert len(found) == due, now
        for _, retry in found:
            retry()
    assert tried == ["a", "a"]
    assert held.holds("TaskRun", "a")
    assert not held.holds("TaskRun", "its door tries it")


def test_what_its_door_has_not_met_for_long_is_gone(
    held: Quarantine, clock: Clock, registry: CollectorRegistry
) -> None:
    put(held, "gone")
    put(held, "here", retry=lambda: None)
    clock.now = 901
    held.due()
    assert registry.get_sample_value("set_aside", {"kind": "TaskRun"}) == 1
    assert held.holds("TaskRun", "here")


def test_it_does_not_grow_without_bound(held: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_REMEMBERED", 3)
    for number in range(5):
        put(held, str(number))
    assert [held.holds("TaskRun", str(number)) for number in range(5)] == [False, False, True, True, True]
