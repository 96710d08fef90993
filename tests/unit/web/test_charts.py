"""charts: shapes that stay in their frame and are to scale."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages import charts

COUNTS = st.lists(
    st.dictionaries(st.sampled_from(charts.STACK), st.integers(0, 10**9), max_size=5), min_size=1, max_size=130
)


@given(COUNTS)
def test_stacks_stay_in_their_frame_and_are_to_scale(counts: list[dict[str, int]]) -> None:
    bars = charts.stacks(counts)
    most = max(sum(each.values()) for each in counts)
    for bar in bars:
        assert 0 <= bar.x <= bar.x + bar.width <= charts.WIDTH + 0.01
        assert -0.1 <= bar.y <= bar.y + bar.height <= charts.HEIGHT + 0.1
    assert len(bars) == sum(bool(number / max(most, 1)) for each in counts for number in each.values())


def test_a_stack_has_its_phases_from_the_bottom_up() -> None:
    good, bad = charts.stacks([{"Failed": 1, "Succeeded": 3}])
    assert (good.phase, good.height, bad.phase, bad.y) == ("Succeeded", charts.HEIGHT * 3 / 4, "Failed", 0.0)


@given(COUNTS)
def test_a_phase_is_one_outline_of_all_its_bars(counts: list[dict[str, int]]) -> None:
    bars = charts.stacks(counts)
    outlines = charts.outlines(bars)
    assert set(outlines) == {bar.phase for bar in bars}
    assert sum(outline.count("z") for outline in outlines.values()) == len(bars)


@pytest.mark.parametrize(
    ("values", "moves"),
    [([1.0, 2.0, 3.0], 1), ([1.0, None, 3.0], 2), ([None, 2.0, None], 1), ([None, None], 0), ([], 0)],
)
def test_a_line_is_open_where_a_value_is_missing(values: list[float | None], moves: int) -> None:
    assert len(re.findall("M", charts.line(values, most=3.0))) == moves


@given(st.dictionaries(st.sampled_from((*charts.STACK, *charts.ACTIVE_STACK)), st.integers(0, 10**6)))
def test_shares_are_parts_of_a_hundred_without_gaps(counts: dict[str, int]) -> None:
    bars = charts.shares(counts)
    assert {bar.phase for bar in bars} == {phase for phase, count in counts.items() if count}
    end = 0.0
    for bar in bars:
        assert abs(bar.x - end) < 0.05
        end = bar.x + bar.width
    assert not bars or abs(end - 100) < 0.05


def test_what_has_ended_is_on_the_left() -> None:
    assert [(bar.phase, bar.x) for bar in charts.shares({"Pending": 1, "Failed": 1, "Succeeded": 2})] == [
        ("Succeeded", 0.0),
        ("Failed", 50.0),
        ("Pending", 75.0),
    ]


def test_nothing_is_drawn_of_nothing() -> None:
    assert charts.stacks([{}, {}]) == []
    assert charts.line([0.0], most=0.0) == ""
    assert charts.spark([0, 0]) == []
