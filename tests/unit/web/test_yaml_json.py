"""Manifests in YAML, read as JSON."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.shared.yaml_json import MOST_DEPTH, MOST_VALUES, YamlError, read

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
MANIFEST = """\
apiVersion: tidegate.dev/v1alpha1
kind: Task  # a comment
metadata:
  name: resize
spec:
  image: app:1
  env:
    - name: A
      value: "1"
    - {name: B,
       value: 2026-01-01}
  command: [python, -m, app]
"""


@given(st.dictionaries(st.text(max_size=20), JSON, max_size=4))
def test_what_is_json_is_read_as_it_is_from_json_and_from_yaml(value: dict[str, object]) -> None:
    assert read(json.dumps(value)).value == value
    try:
        text = yaml.safe_dump(value, allow_unicode=True)
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        return  # PyYAML writes control characters that it can't read
    if expected == value:
        assert read(text).value == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = read(text).value
    except YamlError:
        return
    assert isinstance(value, dict)


def test_each_field_has_its_line() -> None:
    found = read(MANIFEST)
    assert found.value["spec"] == {
        "image": "app:1",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2026-01-01"}],
        "command": ["python", "-m", "app"],
    }
    lines = {
        "kind": 2,
        "spec.image": 6,
        "spec.env[0].value": 9,
        "spec.env[1].name": 10,
        "spec.env[1].value": 11,
        "spec.env.1.value": 11,
        "spec.command[2]": 12,
        "spec.imagee": 5,
        "spec.env[7].name": 7,
        "nothing": 0,
        "": 0,
    }
    assert {field: found.line_of(field) for field in lines} == lines


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: 1\na: 2", "the key 'a' is there twice", 2),
        ("a: &x [1]\nb: *x", "anchors and aliases", 1),
        ("a: 1\nb:\n  <<: {c: 1}", "merge keys", 3),
        ("a: !!python/object/apply:os.system [x]", "the tag", 1),
        ("a: !!binary aGVsbG8=", "the tag", 1),
        ("a: 1\n---\nb: 2", "one document", 2),
        ("a: .nan", "no number of JSON", 1),
        ("a: !!int x", "is no int", 1),
        ("- a", "must be an object", 1),
        ("", "must be an object", 1),
        ("a: [1\nb: 2", "did not find expected|expected ','", 2),
        ('{"a": NaN}', "no number of JSON", 0),
        ('{"a": 1, "a": 2}', "a key is there twice", 0),
        ("? [a]\n: 1", "a key must be a text", 1),
        ("a: \x00", "no YAML", 0),
        ("a: " + "[" * (MOST_DEPTH + 1), "nested deeper", 1),
        ("a: " + "{b: " * 50_000, "nested deeper", 1),
        ("a:\n" + "- 1\n" * MOST_VALUES, "more than", MOST_VALUES),
    ],
)
def test_what_is_refused_is_said_with_its_line(text: str, said: str, line: int) -> None:
    with pytest.raises(YamlError, match=said) as refused:
        read(text)
    assert refused.value.line == line


def test_what_looks_like_another_type_to_yaml_alone_is_text() -> None:
    found = read("a: 12:30\nb: 2026-11-28\nc: '1'\nd: !!str 1\ne: =\nf: 1_0\ng: on\nh: ~").value
    assert found == {"a": "12:30", "b": "2026-11-28", "c": "1", "d": "1", "e": "=", "f": 10, "g": True, "h": None}
