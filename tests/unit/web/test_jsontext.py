"""JSON deeper than Python's parser goes."""

import json

import pytest
from tidegate_web.shared import json_text


def nested(levels: int, inside: str = "1") -> str:
    return '{"a":[' * (levels // 2) + inside + "]}" * (levels // 2)


def test_what_is_too_deep_is_cut_and_the_rest_is_read() -> None:
    deep = nested(9_000, '"]}\\"[{"')
    found = json_text.decode(f'{{"before": [1, "\\"{{"], "deep": {deep}, "after": {deep}, "last": {{"a": []}}}}')
    assert found["before"] == [1, '"{']
    assert found["last"] == {"a": []}
    assert json_text.value_is_too_deep(found["deep"])
    assert json_text.value_is_too_deep(found["after"])
    json.dumps(found)  # and written again


@pytest.mark.parametrize(("levels", "too_deep"), [(2, False), (500, False), (502, True), (900, True)])
def test_the_depth_of_a_text_and_of_its_value(levels: int, too_deep: bool) -> None:
    text = nested(levels)
    assert json_text.is_too_deep(text) is too_deep
    assert json_text.value_is_too_deep(json.loads(text)) is too_deep


def test_brackets_in_strings_and_beside_one_another_are_no_depth() -> None:
    text = json.dumps([["[{" * 600, {}]] * 600)
    assert not json_text.is_too_deep(text)
    assert json_text.cut(text) == text


def test_what_is_no_json_is_a_value_error() -> None:
    for text in ("", "[" * 5000, "{" * 5000 + "]" * 5000, '{"a"'):
        with pytest.raises(ValueError, match=r"\S"):
            json_text.decode(text)
