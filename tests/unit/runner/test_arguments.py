"""Every kind of parameter and annotation: filled by name, and only what the payload fills has to be known."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.runner import RunnerPod, interpreter
from tidegate import task
from tidegate.arguments import bind
from tidegate.errors import PayloadError
from tidegate.manifests import manifest

FUTURE = """
from __future__ import annotations
import dataclasses, enum
from typing import TYPE_CHECKING, Any, Dict, List, Literal, NewType, Optional, TypedDict, Union
from tidegate import task
from .shared import Base, shared

if TYPE_CHECKING:
    import pandas

UserId = NewType("UserId", int)
Name = NewType("Name", "str" if TYPE_CHECKING else str)
Json = Union[Dict[str, "Json"], List["Json"], str, int, None]

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Range(Base):
    last: int
    frame: Optional[pandas.DataFrame] = None
    scale: dataclasses.InitVar[int] = 1
    inner: Optional[Range] = None

class Options(TypedDict, total=False):
    quality: int
    frame: pandas.DataFrame

@task
def report(day: str, frame: Optional[pandas.DataFrame] = None) -> pandas.DataFrame:
    return {"day": day, "frame": frame}

@task
def fills(
    user: UserId,
    name: Name,
    within: Range,
    options: Options,
    colour: Colour,
    later: Later,
    mode: Literal["a", 2] = "a",
    tree: Json = None,
    either: Union[int, str] = 0,
    limit: int = None,
):
    return [user, name, within.first, within.last, options, colour.value, later.x, mode, tree, either, limit, shared()]

@dataclasses.dataclass
class Later:
    x: int

@task
def kinds(a, b=2, /, c=3, *rest: pandas.DataFrame, d, e=5, **others: int):
    return [a, b, c, rest, d, e, others]
"""

SHARED = """
from __future__ import annotations
import dataclasses
from decimal import Decimal as Number

@dataclasses.dataclass
class Base:
    first: Alias

class Alias(int):
    pass

Alias = int

def shared():
    return "relative"
"""

ALIASES = """
from typing import TYPE_CHECKING
from tidegate import task

type Number = int
type Pair[T] = tuple[T, T]
type Tree = dict[str, Tree] | Number | None
type Unknown = pandas.DataFrame

@task
def aliases(n: Number, pair: Pair[int], tree: Tree = None, frame: Unknown = None):
    return [n, pair, tree, frame]

@task
def generic[T](items: list[T], n: int = 1): return [items, n]
"""


def package(folder: Path, *, version: str, aliases: bool = False) -> RunnerPod:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    made = folder / "shop"
    made.mkdir()
    (made / "__init__.py").touch()
    (made / "shared.py").write_text(SHARED, encoding="utf-8")
    (made / "orders.py").write_text(ALIASES if aliases else FUTURE, encoding="utf-8")
    return RunnerPod(folder, "", python)


VERSIONS = ["3.9", "3.11", "3.13"]
GIVEN: dict[str, Any] = {
    "user": 7,
    "name": "Ada",
    "within": {"first": 1, "last": 9, "inner": {"first": 2, "last": 3}},
    "options": {"quality": 3},
    "colour": "red",
    "later": {"x": 1},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_for_the_type_checker_alone_hinders_nothing(tmp_path: Path, version: str) -> None:
    pod = package(tmp_path, version=version)
    assert pod.run("shop.orders:report", {"day": "1"}).value == {"day": "1", "frame": None}
    assert pod.run("shop.orders:report", {"day": "1", "frame": None}).value == {"day": "1", "frame": None}
    refused = pod.run("shop.orders:report", {"day": "1", "frame": {}})
    assert refused.code == 64
    assert refused.result == (
        f"the annotation of argument 'frame' can't be read on Python {version}: name 'pandas' is not defined"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_annotations_of_all_kinds_are_understood(tmp_path: Path, version: str) -> None:
    pod = package(tmp_path, version=version)
    ended = pod.run("shop.orders:fills", {**GIVEN, "tree": {"a": [1, {"b": None}]}, "either": "x", "limit": None})
    assert ended.value == [
        7, "Ada", 1, 9, {"quality": 3}, "red", 1, "a", {"a": [1, {"b": None}]}, "x", None, "relative",
    ]  # fmt: skip
    for change, words in (
        ({"user": "7"}, "argument 'user' must be integer, not string"),
        ({"name": 3}, "argument 'name' must be string, not integer"),
        ({"within": {"first": "x", "last": 9}}, "in 'within': argument 'first' must be integer"),
        ({"options": {"frame": 1}}, "the annotation of argument 'frame' can't be read"),
        ({"limit": "x"}, "argument 'limit' must be integer, not string"),
    ):
        refused = pod.run("shop.orders:fills", {**GIVEN, **change})
        assert (refused.code, words in refused.result) == (64, True), refused.result


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters_of_all_kinds_are_filled(tmp_path: Path, version: str) -> None:
    pod = package(tmp_path, version=version)
    assert pod.run("shop.orders:kinds", {"a": 1, "d": 4}).value == [1, 2, 3, [], 4, 5, {}]
    filled = pod.run("shop.orders:kinds", {"a": 1, "b": 0, "c": 0, "d": 4, "e": 0, "rest": 7, "z": 8})
    assert filled.value == [1, 0, 0, [], 4, 0, {"rest": 7, "z": 8}]
    assert "argument 'd' is missing" in pod.run("shop.orders:kinds", {"a": 1}).result


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_type_statements_are_understood(tmp_path: Path, version: str) -> None:
    pod = package(tmp_path, version=version, aliases=True)
    given = {"n": 1, "pair": [2, 3], "tree": {"a": {"b": 4}}}
    assert pod.run("shop.orders:aliases", given).value == [1, [2, 3], {"a": {"b": 4}}, None]
    assert "argument 'pair[1]' must be integer" in pod.run("shop.orders:aliases", {**given, "pair": [1, "x"]}).result
    unknown = pod.run("shop.orders:aliases", {**given, "frame": 1}).result
    assert "name 'pandas' is not defined" in unknown
    assert pod.run("shop.orders:generic", {"items": [1, "x"]}).value == [[1, "x"], 1]


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_type_statements_have_a_schema(tmp_path: Path, version: str) -> None:
    pod = package(tmp_path, version=version, aliases=True)
    code = (
        "import json; from tidegate import task; from tidegate.manifests import export\n"
        "@task\ndef show(): return export('shop.orders', image='i')[0]['spec']['payloadSchema']\n"
    )
    (tmp_path / "shows.py").write_text(code, encoding="utf-8")
    ended = pod.run("shows:show", TIDEGATE_RESULT_MAX_BYTES="100000")
    schema = ended.value
    assert schema["properties"]["tree"]["anyOf"] == [{"$ref": "#/$defs/Tree"}, {"type": "null"}]
    assert schema["$defs"]["Tree"]["anyOf"][0] == {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Tree"},
    }
    assert schema["properties"]["pair"]["prefixItems"] == [{"type": "integer"}] * 2


def test_a_positional_argument_keeps_its_place_when_one_before_it_is_left_out() -> None:
    def takes(a: int = 1, b: int = 2, c: int = 3, /) -> list[int]:
        return [a, b, c]

    args, kwargs = bind(takes, {"b": 5})
    assert (args, kwargs, takes(*args)) == ((1, 5), {}, [1, 5, 3])


def test_a_default_of_none_takes_null_and_the_schema_says_so() -> None:
    @task
    def takes(limit: int = None, name: str | None = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013

    assert bind(takes.function, {"limit": None}) == ((), {"limit": None})
    properties = manifest(takes, image="i", entrypoint="m:f")["spec"]["payloadSchema"]["properties"]
    assert properties["limit"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert properties["name"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_what_cannot_be_read_and_can_be_left_out_is_left_open_in_the_schema() -> None:
    def takes(day: str, frame: "pandas.DataFrame" = None) -> "pandas.DataFrame": ...  # type: ignore[name-defined] # noqa: F821

    made = manifest(task(takes), image="i", entrypoint="m:f")
    assert made["spec"]["payloadSchema"]["properties"]["frame"] == {"default": None}


def test_a_payload_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    pod = RunnerPod(tmp_path, "def work(**all): return 1")
    process_payload = "[" * 100_000 + "]" * 100_000
    (tmp_path / "deep.json").write_text('{"a":' + process_payload + "}", encoding="utf-8")
    ended = pod.run("tasks:work", TIDEGATE_PAYLOAD_FILE=str(tmp_path / "deep.json"))
    assert (ended.code, ended.result.startswith("can't read the payload: ")) == (64, True)


def test_a_type_that_a_payload_cannot_fill_is_named() -> None:
    def stores(where: Path) -> None: ...

    with pytest.raises(PayloadError, match="argument 'where' has the type Path, which a payload can't fill"):
        bind(stores, json.loads('{"where": "/x"}'))
