"""A result is converted by one table, or refused in one line: the same in a pod and in tests."""

import array
import dataclasses
import datetime as dt
import enum
import json
import math
import uuid
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from support.runner import RunnerPod, interpreter
from tidegate import task, testing
from tidegate.results import MOST_LEVELS, encode


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@dataclasses.dataclass
class Picture:
    url: str
    taken: dt.date
    colour: Colour = Colour.RED


class Point(NamedTuple):
    x: int
    y: int


class Scalar:
    """As numpy's: no number of Python's."""

    dtype = "float32"

    def tolist(self) -> float:
        return 0.5


class Array(Scalar):
    def tolist(self) -> Any:
        return [[1, 2], [3, 4]]


class Long(Scalar):
    def tolist(self) -> Any:
        return self


class Number(float):
    """As numpy.float64."""


class Model(BaseModel):
    day: dt.date


UTC = dt.UTC
Old = namedtuple("Old", "a b")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (True, True),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (1.5, 1.5),
        (Number(1.5), 1.5),
        ("ü", "ü"),
        ("a\0b", "a\0b"),
        ("\ud800", "\ud800"),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (Old(1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ab"), ["a", "b"]),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(minutes=1, milliseconds=500), 60.5),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (Picture("u", dt.date(2026, 1, 2)), {"url": "u", "taken": "2026-01-02", "colour": "red"}),
        (PurePosixPath("/a/b"), "/a/b"),
        (Scalar(), 0.5),
        (Array(), [[1, 2], [3, 4]]),
        (array.array("i", [1, 2]), [1, 2]),
        (Model(day=dt.date(2026, 1, 2)), {"day": "2026-01-02"}),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        ({1: "a", 2.5: "b", None: "c", False: "d"}, {"1": "a", "2.5": "b", "null": "c", "false": "d"}),
        ({Colour.RED: 1, dt.date(2026, 1, 2): 2}, {"red": 1, "2026-01-02": 2}),
    ],
)
def test_what_is_converted(value: Any, kept: Any) -> None:
    assert json.loads(encode(value)) == kept
    assert json.loads(encode({"in": [value]})) == {"in": [kept]}


circle: list[Any] = []
circle.append({"again": circle})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "nan, which JSON doesn't have"),
        ({"a": [1, math.inf]}, "at a[1]: inf, which JSON doesn't have"),
        (2**63, "an integer beyond ±2^63, which JSON readers change: return it as text"),
        (-(2**63) - 1, "an integer beyond ±2^63"),
        ([10**100_000], "at [0]: an integer beyond ±2^63"),
        (b"x", "a value of type bytes, which JSON doesn't have"),
        (bytearray(b"x"), "a value of type bytearray"),
        (memoryview(b"x"), "a value of type memoryview"),
        (1j, "a value of type complex"),
        (object(), "a value of type object"),
        (Picture, "a value of type type"),
        (iter([1]), "a value of type list_iterator"),
        (Long(), "a value of type Long"),
        (circle, "at [0].again: a reference to what it stands in"),
        ({(1, 2): 3}, "an object with a key of type tuple"),
        ({1: "a", "1": "b"}, "at 1: there twice: two keys become the same text"),
        ({math.nan: 1}, "nan, which JSON doesn't have"),
        (nested(MOST_LEVELS + 1), "it has more than 500 levels"),
        (nested(100_000), "it has more than 500 levels"),
    ],
)
def test_what_is_refused_in_one_line(value: Any, words: str) -> None:
    with pytest.raises(TypeError) as raised:
        encode(value)
    assert str(raised.value).startswith("the result is not JSON")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_object_in_two_places_is_no_circle() -> None:
    shared = [1]
    assert encode([shared, {"a": shared}]) == '[[1],{"a":[1]}]'
    assert len(encode(nested(MOST_LEVELS))) == 2 * MOST_LEVELS + 1


TASKS = """
import dataclasses, datetime as dt, enum, pathlib, uuid
from decimal import Decimal
from tidegate import task

@dataclasses.dataclass
class Picture:
    url: str
    inner: object = None

class Size(str, enum.Enum):
    SMALL = "small"

@task
def converted():
    return {
        Size.SMALL: Picture("u", {2, 1}),
        "when": dt.datetime(2026, 1, 2),
        "where": pathlib.Path("/x"),
        "which": uuid.UUID(int=2),
        "price": Decimal("1.10"),
    }

@task
def version(): return 18446744073709551615

@task
def deep():
    value = 1
    for _ in range(500): value = [value]
    return value
"""


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_a_pod_keeps_the_same_on_every_python(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    pod = RunnerPod(tmp_path, TASKS, python)
    assert pod.run("tasks:converted").value == {
        "small": {"url": "u", "inner": [1, 2]},
        "when": "2026-01-02T00:00:00",
        "where": "/x",
        "which": "00000000-0000-0000-0000-000000000002",
        "price": "1.10",
    }
    assert pod.run("tasks:deep").code == 0
    refused = pod.run("tasks:version")
    assert (refused.code, refused.result) == (
        1,
        "TypeError: the result is not JSON: an integer beyond ±2^63, which JSON readers change: return it as text",
    )


def test_a_test_of_the_authors_sees_the_same() -> None:
    @task
    def converts() -> Any:
        return {"when": dt.date(2026, 1, 2), "names": {"b", "a"}}

    assert testing.run(converts).result == {"when": "2026-01-02", "names": ["a", "b"]}

    @task
    def large() -> Any:
        return {"id": 2**64}

    with pytest.raises(TypeError, match=r"the result is not JSON at id: an integer beyond ±2\^63"):
        testing.run(large)
