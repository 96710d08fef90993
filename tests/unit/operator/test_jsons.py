"""jsons: what the fast library doesn't take, the slow one does."""

import json

import pytest
from tidegate_operator import jsons


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
    assert json.loads(jsons.dumps(value)) == value
    assert jsons.loads(jsons.dumps(value)) == value


def test_a_lone_surrogate_in_a_text_is_read() -> None:
    assert jsons.loads(rb'{"a":"\ud800"}') == {"a": "\ud800"}


def test_deep_nesting_is_no_error() -> None:
    deep: object = 1
    for _ in range(800):
        deep = [deep]
    assert jsons.loads(jsons.dumps(deep)) == deep


def test_what_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        jsons.loads(b"<html>")
