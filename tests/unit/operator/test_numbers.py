"""numbers: values that an object may hold though its CRD would refuse them."""

from typing import Any

import pytest
from tidegate_api.names import COUNT_MAX, SECONDS_MAX
from tidegate_operator.numbers import as_map, as_text, bounded, bounded_or, count


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0, 0),
        (7, 7),
        (-1, 0),
        (SECONDS_MAX, SECONDS_MAX),
        (SECONDS_MAX + 1, SECONDS_MAX),
        (True, None),
        ("7", None),
        (7.0, None),
    ],
)
def test_a_number_beyond_its_bounds_is_the_bound_and_what_is_none_is_absent(value: Any, read: int | None) -> None:
    assert bounded(value) == read
    assert bounded_or(3, value) == (3 if read is None else read)


def test_bounds_may_be_others() -> None:
    assert [bounded(n, low=2, high=4) for n in (1, 2, 3, 4, 5)] == [2, 2, 3, 4, 4]
    assert [bounded_or(3, n, low=2, high=4) for n in (1, 5, None)] == [2, 4, 3]
    assert [count(n, low=1) for n in (0, COUNT_MAX, COUNT_MAX + 1)] == [1, COUNT_MAX, COUNT_MAX]
    assert count(-1) == 0


def test_what_is_no_text_or_no_object_is_absent() -> None:
    texts: list[Any] = ["x", "", 7, None, ["x"]]
    assert [as_text(value) for value in texts] == ["x", "", None, None, None]
    objects: list[Any] = [{"a": 1}, None, "x", []]
    assert [as_map(value) for value in objects] == [{"a": 1}, {}, {}, {}]
