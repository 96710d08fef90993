"""jsons: what the fast library doesn't take, the slow one does."""

import json

import pytest
from tidegate_operator import json_codec


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "\u00e4\u2603"]},
        {"big": 2**70},
        {"surrogate": "\ud800"},
    ],
    ids=["ordinary", "beyond 64 bits", "a lone surrogate"],
)
def test_what_is_written_is_read_again(value: object) -> None:
    assert json.loads(json_codec.dumps(value)) == value
    assert json_codec.loads(json_codec.dumps(value)) == value


def test_a_lone_surrogate_in_a_text_is_read() -> None:
    assert json_codec.loads(rb'{"a":"\ud800"}') == {"a": "\ud800"}


def test_deep_nesting_is_no_error() -> None:
    deep: object = 1
    for _ in range(800):
        deep = [deep]
    assert json_codec.loads(json_codec.dumps(deep)) == deep


def test_what_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        json_codec.loads(b"<html>")
