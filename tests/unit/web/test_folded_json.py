"""JSON that folds, and stays the same JSON when it is copied."""

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.folded_json import DEEPEST, MOST_VALUES, OPEN_ITEMS, folded

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def text_of(value: object) -> str:
    """What a browser has for its text."""
    return html.unescape(re.sub(r"<[^>]+>", "", folded(value)))


@given(values)
def test_the_text_of_it_is_the_same_json_written_as_people_write_it(value: object) -> None:
    assert json.loads(text_of(value)) == value
    assert text_of(value).strip() == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize(
    "odd", ["<script>alert(1)</script>", "</details>", '"><img src=x onerror=a()>', "&lt;", "\u202eabc"]
)
def test_nothing_in_it_is_markup(odd: str) -> None:
    made = folded({odd: [odd, {odd: odd}]})
    assert set(re.findall(r"<(\w+)", made)) == {"div", "details", "summary", "b", "span"}
    assert json.loads(text_of({odd: odd})) == {odd: odd}


def test_what_is_deep_or_long_begins_closed() -> None:
    def openings(value: object) -> list[tuple[str, str]]:
        return re.findall(r"<details( open)?><summary data-count=\"([^\"]+)\"", folded(value))

    assert openings({"a": {"b": {"c": [1, 2]}}}) == [
        (" open", "1 key"),
        (" open", "1 key"),
        ("", "1 key"),
        ("", "2 items"),
    ]
    long = list(range(OPEN_ITEMS + 1))
    assert openings([long]) == [(" open", "1 item"), ("", f"{OPEN_ITEMS + 1} items")]
    assert openings(long) == [(" open", f"{OPEN_ITEMS + 1} items")]
    assert openings([[], {}]) == [(" open", "2 items")]


def test_what_is_too_much_for_elements_is_text() -> None:
    nested: Any = 1
    for _ in range(DEEPEST + 2):
        nested = [nested]
    for value in ([0] * MOST_VALUES, nested, {"a": {str(n): n for n in range(MOST_VALUES)}}):
        assert "<details" not in folded(value)
        assert json.loads(text_of(value)) == value
    assert "<details" in folded([0] * (MOST_VALUES // 2 - 1))
