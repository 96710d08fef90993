"""timestamps and payload: small pure functions."""

import pytest
from tidegate_api.times import clamp, format_duration, format_time, parse_time
from tidegate_operator.policies.payload import refuse_payload


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "0s"),
        (0.04, "40ms"),
        (0.999, "999ms"),
        (0.9999, "1s"),
        (12.34, "12.3s"),
        (59.9, "59.9s"),
        (61, "1m1s"),
        (3605, "1h0m5s"),
        (-3, "0s"),
    ],
)
def test_durations_read_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_times_survive_the_wire() -> None:
    assert parse_time(format_time(1_234_567.891)) == pytest.approx(1_234_567.891)
    assert parse_time(None) is None
    assert format_time(0).endswith("Z")


def test_a_time_is_held_between_its_bounds() -> None:
    assert [clamp(v, low=1, high=3) for v in (0, 2, 9, None)] == [1, 2, 3, 3]


def test_a_payload_is_measured_as_compact_utf8() -> None:
    assert refuse_payload({"x": "y" * (131_072 - 8)}) is None
    refusal = refuse_payload({"x": "é" * 65_536})
    assert refusal is not None
    assert "131080 bytes" in refusal.message
