"""policies/result: a value is never taken for another one than was written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_operator.policies.result import is_result_ref, read_result


@pytest.mark.parametrize(
    "text",
    [
        "7e45310",
        "1e999",
        "-1e999",
        "1e-999",
        "0." + "0" * 400 + "1",
        "18446744073709551615",
        "9223372036854775808",
        "-9223372036854775809",
        "NaN",
        '{"a": [Infinity]}',
        '{"a": 1e400}',
        "1" * 4500,
        "[" * 2000 + "]" * 2000,
        "[" * 501 + "]" * 501,
        '{"a":' * 2000 + "1" + "}" * 2000,
    ],
    ids=lambda text: text[:24],
)
def test_what_json_readers_would_change_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_result(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.10", 1.1),
        ("0e0", 0.0),
        ("0e5", 0.0),
        ("0.0E-7", 0.0),
        ("-0.0", -0.0),
        ("1e308", 1e308),
        ('"7e45310"', "7e45310"),
        ('"\\u0000"', "\x00"),
        ("[" * 500 + "]" * 500, json.loads("[" * 500 + "]" * 500)),
        ('"' + "[" * 900 + '"', "[" * 900),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_they_read_alike_is_the_value(text: str, value: object) -> None:
    assert read_result(text) == value


@given(st.text())
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        read_result(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"bytes": 1},
        {"bytes": -1, "sha256": "a" * 64},
        {"bytes": True, "sha256": "a" * 64},
        {"bytes": 2**53 + 1, "sha256": "a" * 64},
        {"bytes": 1, "sha256": "A" * 64},
        {"bytes": 1, "sha256": 5},
        {"bytes": 1, "sha256": "a" * 64, "more": 1},
    ],
)
def test_only_a_size_and_a_digest_say_where_a_result_is(value: object) -> None:
    assert not is_result_ref(value)
    for size in (0, 1, 2**53):
        assert is_result_ref({"bytes": size, "sha256": "a" * 64})
