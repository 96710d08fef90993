"""The time by which the operator decides."""

import time
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest
from tidegate_operator.kube.cluster_clock import ClusterClock, running_time

NOW = 1_700_000_000.25


@dataclass
class Machine:
    """One whose wall clock is `ahead` of the apiserver's."""

    ahead: float = 0.0
    passed: float = 100.0
    clock: ClusterClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ClusterClock(wall=lambda: NOW + self.passed + self.ahead, running=lambda: self.passed)

    def ask(self, *, put: float = 0.0, took: float = 0.0) -> None:
        """The apiserver, whose clock was put forward by `put`, answers a request."""
        sent = self.passed
        date = formatdate(NOW + self.passed + put, usegmt=True)
        self.passed += took
        self.clock.answered(date, sent=sent)

    @property
    def off(self) -> float:
        return self.clock() - NOW - self.passed


@pytest.mark.parametrize("ahead", [600.0, -600.0, 100_000.0, -100_000.0])
def test_the_first_answer_says_what_time_it_is(ahead: float) -> None:
    machine = Machine(ahead=ahead)
    assert machine.off == ahead
    machine.ask()
    assert abs(machine.off) <= 1.0


@pytest.mark.parametrize("ahead", [0.0, 0.5, -0.2])
def test_a_clock_with_which_the_answers_agree_is_believed(ahead: float) -> None:
    machine = Machine(ahead=ahead)
    machine.ask()
    assert machine.off == pytest.approx(ahead)


def test_an_answer_that_was_long_on_its_way_says_no_more_than_it_can() -> None:
    machine = Machine(ahead=-20.0)
    machine.ask(took=30.0)
    assert machine.off == pytest.approx(-20.0)


def test_its_own_wall_clock_may_be_set_at_any_time() -> None:
    machine = Machine()
    machine.ask()
    machine.ahead, machine.passed = 600.0, machine.passed + 10.0
    assert machine.off == pytest.approx(0.0)


@pytest.mark.parametrize("put", [300.0, -300.0])
def test_an_apiservers_clock_that_is_set_is_followed_slowly(put: float) -> None:
    machine = Machine()
    machine.ask()
    machine.passed += 50.0
    machine.ask(put=put)
    assert machine.off == pytest.approx(0.0)
    machine.passed += 50.0
    assert machine.off == pytest.approx(5.0 if put > 0 else -5.0)
    machine.passed += 4000.0
    assert abs(machine.off - put) <= 1.0


@pytest.mark.parametrize("put", [7200.0, -7200.0])
def test_a_machine_that_stood_still_takes_the_time_over_at_once(put: float) -> None:
    machine = Machine()
    machine.ask()
    machine.passed += 50.0
    machine.ask(put=put)
    assert abs(machine.off - put) <= 1.0


def test_time_never_runs_backwards_while_it_is_put_right() -> None:
    machine = Machine()
    machine.ask()
    machine.passed += 50.0
    machine.ask(put=-300.0)
    times = []
    for _ in range(50):
        machine.passed += 7.3
        machine.ask(put=-300.0)
        times.append(machine.clock())
    assert times == sorted(times)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Nov 2023 00:00:00 GMT"])
def test_an_answer_without_a_date_says_nothing(date: str | None) -> None:
    machine = Machine(ahead=600.0)
    machine.clock.answered(date, sent=machine.passed)
    assert machine.off == 600.0


def test_the_running_time_is_of_a_clock_that_only_goes_on() -> None:
    before = running_time()
    assert running_time() >= before
    assert abs(ClusterClock()() - time.time()) < 1.0
