"""pages/schema_fields.py: a form from any schema, and payloads through it and back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.schema_fields import MOST_FIELDS, MOST_SECTIONS, FieldSet, field_set, payload_of, texts_of

Json = dict[str, Any]


def an_object(*, required: tuple[str, ...] = (), closed: bool = False, **properties: Json) -> Json:
    whole: Json = {"type": "object", "properties": properties, "required": list(required)}
    return whole | ({"additionalProperties": False} if closed else {})


def made(schema: Json) -> FieldSet:
    found = field_set(schema)
    assert found is not None
    return found


def drawn(schema: Json) -> dict[str, str]:
    return {each.at: each.kind for each in made(schema).fields}


def test_each_type_has_its_field() -> None:
    schema = an_object(
        name={"type": "string"},
        note={"type": "string", "maxLength": 5000},
        day={"type": "string", "format": "date"},
        width={"type": "integer"},
        ratio={"type": "number"},
        sharp={"type": "boolean"},
        size={"enum": ["s", "m"]},
        unit={"oneOf": [{"const": 1, "title": "one"}, {"const": 2}]},
        tags={"type": "array"},
        anything={},
        maybe={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        also={"type": ["string", "null"]},
    )
    assert drawn(schema) == {
        "$.name": "text",
        "$.note": "longText",
        "$.day": "date",
        "$.width": "integer",
        "$.ratio": "number",
        "$.sharp": "boolean",
        "$.size": "choice",
        "$.unit": "choice",
        "$.tags": "json",
        "$.anything": "json",
        "$.maybe": "integer",
        "$.also": "text",
    }


def test_an_object_within_has_its_own_section() -> None:
    inner = an_object(depth={"type": "integer"}, required=("depth",))
    schema = an_object(
        name={"type": "string"}, crop={"$ref": "#/$defs/Crop", "title": "Crop it"}, required=("name", "crop")
    )
    found = made(schema | {"$defs": {"Crop": inner}})
    assert [(each.path, each.label) for each in found.sections] == [((), ""), (("crop",), "Crop it")]
    assert [each.required for each in found.fields] == [True, True]
    assert payload_of(found, {"$.name": "a", "$.crop.depth": "3"}) == ({"name": "a", "crop": {"depth": 3}}, [])
    assert payload_of(found, {"$.name": "a"})[0] == {"name": "a", "crop": {}}, "it is required"
    assert texts_of(found, {}) == {}


def test_a_schema_that_holds_itself_ends() -> None:
    node = an_object(name={"type": "string"}, next={"$ref": "#/$defs/Node"})
    found = made({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert [each.at for each in found.fields][-1] == "$.next.next.next"
    assert field_set({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}) is None


def test_a_form_is_bounded() -> None:
    wide = made({"properties": {f"k{n}": {"type": "string"} for n in range(1000)}})
    assert len(list(wide.fields)) == MOST_FIELDS
    assert wide.has_rest
    deep = made({"properties": {f"k{n}": an_object(a={"type": "string"}) for n in range(1000)}})
    assert len(deep.sections) <= MOST_SECTIONS
    assert deep.has_rest


@pytest.mark.parametrize(
    ("kind", "sent", "words"),
    [
        ("integer", "3.5", "whole number"),
        ("integer", "9" * 40, "18 digits"),
        ("integer", "٣", "whole number"),
        ("number", "1e999", "a number"),
        ("number", "NaN", "a number"),
        ("boolean", "maybe", "one of the choices"),
        ("array", "[1,", "line 1, column 4"),
        ("array", "[" * 5000, "nested deeper"),
        ("array", "NaN", "no number of JSON"),
    ],
)
def test_what_cannot_be_read_is_reported_at_its_field(kind: str, sent: str, words: str) -> None:
    payload, (mistake,) = payload_of(made(an_object(key={"type": kind})), {"$.key": sent})
    assert (payload, mistake.at) == ({}, "$.key")
    assert words in mistake.message


def test_what_is_left_empty_is_left_out() -> None:
    found = made(an_object(a={"type": "string"}, b={"type": "integer"}, c={"type": "boolean"}))
    assert payload_of(found, {"$.a": "", "$.b": " ", "$.c": ""}) == ({}, [])


def test_keys_that_have_no_field_are_sent_as_json() -> None:
    found = made(an_object(a={"type": "string"}))
    assert texts_of(found, {"a": "x", "b": [1]}) == {"$.a": "x", "rest": '{\n  "b": [\n    1\n  ]\n}'}
    assert payload_of(found, {"$.a": "x", "rest": '{"b": [1]}'}) == ({"a": "x", "b": [1]}, [])
    assert payload_of(found, {"rest": "[]"})[1][0].message == "Further keys: must be a JSON object"
    assert texts_of(made(an_object(a={"type": "string"}, closed=True)), {"b": 1}) is None


@pytest.mark.parametrize("value", [7, "", " ", "a\rb", None, ["a"]])
def test_a_payload_that_the_fields_cannot_hold_is_written_as_json(value: object) -> None:
    assert texts_of(made(an_object(a={"type": "string"})), {"a": value}) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["a", "b", "c d", "$", "é", ""])
SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": "number"},
            {"type": "boolean"},
            {"enum": ["x", 1, {"y": []}]},
            {"type": "array"},
            {"type": "string", "format": "date"},
            {"$ref": "#/properties/a"},
            {"$ref": "#"},
            {},
        ]
    ),
    lambda inner: st.builds(
        lambda properties, closed: {"type": "object", "properties": properties, "additionalProperties": closed},
        st.dictionaries(KEYS, inner, max_size=4),
        st.booleans(),
    ),
    max_leaves=8,
)


@given(schema=SCHEMAS, payload=st.dictionaries(KEYS, JSON, max_size=4))
def test_a_payload_comes_back_from_its_fields_as_it_was(schema: Json, payload: Json) -> None:
    found = field_set(schema)
    texts = None if found is None else texts_of(found, payload)
    if found is not None and texts is not None:
        assert payload_of(found, texts) == (payload, [])


@given(
    schema=st.dictionaries(st.sampled_from(["$ref", "properties", "enum", "anyOf", "type", "required", "title"]), JSON)
)
def test_no_schema_breaks_the_form(schema: Json) -> None:
    found = field_set(schema)
    if found is not None:
        payload, _ = payload_of(found, {each.at: "x" for each in found.fields})
        json.dumps(payload)
