"""docs/check_promises.py: promises without tests that exist are reported."""

from typing import Any

import pytest
from check_promises import Promise, collect, faults, fields, named_fields, parse

PAGE = """# Promises
Some words.

## Queue
| promise | tests |
|---|---|
| `queue.paused` holds runs. | `tests/a.py::test_a`, `tests/b.py::test_b` |
| A run has a `name`. | none yet: needs `a machine` of its own |
| Nobody looks. | |
"""
SECURITY = """# Security
| boundary | tests |
|---|---|
| A stranger gets nothing. | `tests/a.py::test_a` |
| A viewer writes nothing. | |
| A key is no person. | none yet: later |

| part | how it is held |
|---|---|
| packages | `uv.lock` |
"""
HERE = "tests/unit/docs/test_check_promises.py"


def reported(page: str, *, collected: set[str], wanted: set[str] | None = None, most: int = 1) -> list[str]:
    return faults(parse(page), collected=collected, wanted=wanted or set(), most=most)


def test_rows_are_read_without_heads() -> None:
    assert parse(PAGE)[:2] == [
        Promise(7, "`queue.paused` holds runs.", ("tests/a.py::test_a", "tests/b.py::test_b"), none_yet=False),
        Promise(8, "A run has a `name`.", ("a machine",), none_yet=True),
    ]
    assert named_fields(parse(PAGE)) == {"queue", "paused", "name"}


def test_what_is_wrong_is_reported_by_line() -> None:
    assert reported(PAGE, collected={"tests/a.py::test_a"}, wanted={"paused", "burst"}) == [
        "line 7: pytest doesn't collect tests/b.py::test_b",
        "line 9: no test in backticks, and no 'none yet:' with a reason",
        "no promise names the field `burst`",
    ]


def test_each_boundary_needs_a_test_and_other_tables_none() -> None:
    assert reported(SECURITY, collected=set(), most=0) == [
        "line 4: pytest doesn't collect tests/a.py::test_a",
        "line 5: no test in backticks, and no 'none yet:' with a reason",
        "1 promises have no test and 0 may: write a test",
    ]


@pytest.mark.parametrize(("most", "words"), [(0, "1 promises have no test and 0 may"), (2, "lower WITHOUT_TEST")])
def test_promises_without_a_test_only_become_fewer(most: int, words: str) -> None:
    page = "\n".join(PAGE.splitlines()[:8])
    both = {"tests/a.py::test_a", "tests/b.py::test_b"}
    assert reported(page, collected=both) == []
    (only,) = reported(page, collected=both, most=most)
    assert words in only


def test_fields_are_found_at_any_depth() -> None:
    inner: dict[str, Any] = {"items": {"properties": {"c": {}}}}
    assert list(fields({"properties": {"a": {"properties": {"b": inner}}}})) == ["a", "b", "c"]


def test_ids_are_collected_without_parameters() -> None:
    found = collect({f"{HERE}::test_whatever", "tests/no_such_file.py::test_x"})
    assert f"{HERE}::test_promises_without_a_test_only_become_fewer" in found
    assert all(one.startswith(HERE) for one in found)
