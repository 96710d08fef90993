"""tidegate_api/ticks: which tick a run is for, and until when it must stay."""

import pytest
from tidegate_api.ticks import holds, run_name, tick_of

TICK = 1_800_000_000.0
NAME = run_name("nightly", TICK)


def test_there_and_back() -> None:
    assert NAME == "nightly-30000000"
    assert tick_of(NAME, schedule="nightly") == TICK


@pytest.mark.parametrize(
    "name", ["nightly", "nightly-", "nightly-m5x1", "nightly--5", "nightly-5-6", "nightly-٣", "other-30000000"]
)
def test_other_names_are_of_no_tick_and_held_by_nothing(name: str) -> None:
    assert tick_of(name, schedule="nightly") is None
    assert not holds(name, schedule="nightly", counted_to=0.0)


@pytest.mark.parametrize(
    ("counted_to", "held"), [(TICK - 60, True), (TICK - 0.5, True), (TICK, False), (TICK + 1, False)]
)
def test_a_run_stays_until_its_tick_is_recorded(counted_to: float, held: bool) -> None:
    assert holds(NAME, schedule="nightly", counted_to=counted_to) is held
