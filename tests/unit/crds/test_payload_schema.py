"""tidegate_api/payload_schema: what is said of a payload that doesn't match, and of a schema that can't be used."""

import json
from typing import Any

import pytest
from tidegate_api.payload_schema import MESSAGE_MAX, first_mismatch, mistakes

Json = dict[str, Any]


def reported(schema: Json, payload: Json) -> tuple[str, str] | None:
    found = first_mismatch(json.dumps(schema), payload)
    if found is None:
        return None
    assert len(found.message.encode()) <= MESSAGE_MAX
    assert found.message.isprintable(), "one line"
    return str(found.reason), found.message


PICTURES: Json = {
    "type": "object",
    "required": ["pictures"],
    "properties": {"pictures": {"type": "array", "items": {"$ref": "#/$defs/picture"}}, "width": {"minimum": 1}},
    "additionalProperties": False,
    "$defs": {"picture": {"type": "string", "pattern": "^[a-z]+\\.jpg$"}},
}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"pictures": ["a.jpg", 7]}, 'at $.pictures[1]: the value is not of type "string"'),
        ({"pictures": ["secret"]}, 'at $.pictures[0]: the value does not match "^[a-z]+\\.jpg$"'),
        ({}, 'at $: "pictures" is a required property'),
        ({"pictures": [], "width": 0}, "at $.width: the value is less than the minimum of 1"),
        ({"pictures": [], "hight": 3}, "at $: Additional properties are not allowed ('hight' was unexpected)"),
    ],
)
def test_the_first_thing_that_is_wrong_is_reported_with_its_path(payload: Json, words: str) -> None:
    assert reported(PICTURES, payload) == ("InvalidPayload", f"the payload doesn't match payloadSchema {words}")


def test_a_payload_that_matches_is_let_through() -> None:
    assert reported(PICTURES, {"pictures": ["a.jpg"], "width": 10**40}) is None
    assert reported({}, {"anything": None}) is None


@pytest.mark.parametrize(
    ("schema", "payload", "words"),
    [
        ({"properties": {"a": {"type": "string"}}}, {"a": ["x" * 100_000]}, "the value is not"),
        ({"additionalProperties": False, "properties": {"b": True}}, {"x" * 100_000: 1}, "('xxx"),
        ({"additionalProperties": {"type": "string"}}, {"a\n" + "x" * 100_000: 1}, '$["a\\nxxx'),
        ({"const": {"a": "é" * 100_000}}, {"a": 1}, '{"a":"ééé'),
        ({"properties": {"a": {"enum": ["x" * 100_000]}}}, {"a": "y" * 100_000}, '"xxx'),
    ],
)
def test_a_message_stays_short_whatever_is_large(schema: Json, payload: Json, words: str) -> None:
    found = reported(schema, payload)
    assert found is not None
    assert words in found[1]


def test_the_path_is_readable_whatever_the_keys() -> None:
    schema = {"properties": {"a b": {"properties": {"c": {"items": {"items": False}}}}}}
    found = reported(schema, {"a b": {"c": [[], [1]]}})
    assert found is not None
    assert 'at $["a b"].c[1]' in found[1]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "https://example.com/schema.json"}, "https://example.com/schema.json"),
        ({"properties": {"a": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}, "has to be local"),
        ({"$ref": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({"$ref": "other.json"}, "other.json"),
        ({"$dynamicRef": "https://example.com/schema.json"}, "https://example.com/schema.json"),
        ({"$ref": "#/$defs/absent"}, "'/$defs/absent' does not exist"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only https://json-schema.org/draft/2020-12/schema"),
        ({"$schema": 7}, "$schema is 7"),
        ({"properties": {"a": {"type": "strin"}}}, "at $.properties.a.type: the value is not valid"),
        ({"required": "a"}, 'at $.required: the value is not of type "array"'),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, 'at $.properties.a.pattern: the value is not a "regex" (patterns'),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "at $.properties.a.pattern"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_is_the_tasks_fault(schema: Json, words: str) -> None:
    found = reported(schema, {})
    assert found is not None
    assert found[0] == "InvalidTask"
    assert words in found[1]


def test_references_within_the_schema_are_followed() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/root",
        "$defs": {"name": {"$id": "name", "type": "string"}, "x": {"$anchor": "x", "type": "integer"}},
        "properties": {"name": {"$ref": "name"}, "x": {"$ref": "#x"}, "rest": {"$ref": "#"}},
    }
    assert reported(schema, {"name": "a", "x": 1, "rest": {"name": "b"}}) is None
    assert reported(schema, {"rest": {"name": 3}}) is not None


def test_a_pattern_that_backtracks_elsewhere_takes_no_time() -> None:
    # By backtracking it takes more steps than there is time; the time limit of a test would end it.
    assert reported({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 130_000 + "!"}) is not None


def test_nesting_without_bound_is_refused_not_followed() -> None:
    schema: Json = {"type": "object"}
    for _ in range(300):
        schema = {"not": schema}
    assert reported(schema, {}) == ("InvalidTask", "payloadSchema is invalid: Recursion limit reached")
    payload: Json = {}
    for _ in range(400):
        payload = {"a": payload}
    assert reported({"properties": {"a": {"$ref": "#"}}}, payload) is None


def test_text_that_is_no_unicode_is_refused() -> None:
    found = reported({"properties": {"a": {"type": "integer"}}}, {"a": "\ud800"})
    assert found is not None
    assert found[0] == "InvalidPayload"


def test_all_that_is_wrong_is_reported_up_to_a_number() -> None:
    payload = {"pictures": ["a.jpg", 7, "B"], "width": 0}
    found = mistakes(json.dumps(PICTURES), payload, most=20)
    assert {each.at for each in found} == {"$.pictures[1]", "$.pictures[2]", "$.width"}
    assert len(mistakes(json.dumps(PICTURES), {"pictures": [7] * 1000}, most=20)) == 20
    assert mistakes(json.dumps(PICTURES), {"pictures": []}, most=20) == []
    (bad,) = mistakes('{"type": 7}', {}, most=20)
    assert (bad.at, "payloadSchema is invalid" in bad.message) == ("", True)
