"""How metadata changes: set, append, increment, in that order, all or nothing."""

from typing import Any

import pytest
from tidegate_web.runs.metadata_change import MAX_BYTES, MAX_KEYS, MetadataError, applied, parse


def changed(before: dict[str, Any], **body: Any) -> dict[str, Any]:
    return applied(before, parse(body))


def test_set_append_and_increment_go_in_this_order() -> None:
    after = changed(
        {"kept": 1, "files": ["old"]},
        set={"files": [], "rows": 10, "note": None},
        append={"files": "a.csv", "new": {"x": 1}},
        increment={"rows": 5, "errors": 1, "share": 0.5},
    )
    assert after == {
        "kept": 1, "files": ["a.csv"], "rows": 15, "note": None, "new": [{"x": 1}], "errors": 1, "share": 0.5,
    }  # fmt: skip


def test_what_was_there_is_left_alone() -> None:
    before = {"files": ["a"]}
    changed(before, append={"files": "b"})
    assert before == {"files": ["a"]}


def test_every_key_of_a_change_is_reported() -> None:
    change = parse({"set": {"b": 1}, "append": {"a": 1}, "increment": {"b": 1}})
    assert change.keys == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"unset": {}},
        {"set": {}, "more": 1},
        {"set": []},
        {"append": "x"},
        {"set": {"": 1}},
        {"set": {"k" * 129: 1}},
        {"increment": {"n": "1"}},
        {"increment": {"n": True}},
        {"increment": {"n": float("inf")}},
        {"increment": {"n": 10**400}},
    ],
)
def test_what_cannot_be_asked_for(body: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        parse(body)


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ({"x": 1}, {"append": {"x": 1}}),
        ({"x": [1]}, {"increment": {"x": 1}}),
        ({"x": "1"}, {"increment": {"x": 1}}),
        ({"x": True}, {"increment": {"x": 1}}),
        ({"x": 2**63 - 1}, {"increment": {"x": 1}}),
        ({"x": 1.7e308}, {"increment": {"x": 1.7e308}}),
        ({}, {"set": {"x": "\ud800"}}),
        ({}, {"set": {"x": float("inf")}}),
        ({}, {"set": {"x": "y" * MAX_BYTES}}),
        ({}, {"set": {f"k{number}": 1 for number in range(MAX_KEYS + 1)}}),
    ],
)
def test_what_cannot_be_done(before: dict[str, Any], body: dict[str, Any]) -> None:
    with pytest.raises(MetadataError):
        applied(before, parse(body))


def test_exactly_as_much_as_fits() -> None:
    room = MAX_BYTES - len('{"x":""}')
    assert changed({}, set={"x": "y" * room})
    assert len(changed({}, set={f"k{number}": 1 for number in range(MAX_KEYS)})) == MAX_KEYS
