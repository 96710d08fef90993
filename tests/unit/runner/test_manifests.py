"""Tasks as resources: what the decorator says, and a schema that takes what the function takes."""

import enum
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field
from support.runner import RUNNER, interpreter
from tidegate import ConfigurationError, Retry, task
from tidegate.arguments import bind
from tidegate.errors import EntrypointError, PayloadError
from tidegate.manifests import export, manifest
from tidegate.schema import payload_schema
from tidegate_api.payload_schema import first_mismatch
from tidegate_api.task import TaskSpec


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Picture:
    url: str
    size: Size = Size.SMALL
    parts: list["Picture"] = field(default_factory=list)


class Options(TypedDict, total=False):
    quality: int


class Address(BaseModel):
    city: str
    number: int = Field(ge=1)


class Person(BaseModel):
    name: str
    homes: list[Address] = []


@task(
    name="resize",
    queue="slow",
    retry=Retry(
        max_attempts=5, initial_delay=2, non_retryable_exit_codes=(3,), out_of_memory={"limits": {"memory": "2Gi"}}
    ),
    timeout=600,
    resources={"requests": {"cpu": "1"}},
)
def resize_pictures(pictures: list[str], width: int = 800) -> None:
    """Make pictures
    smaller.

    More of it.
    """


def test_a_manifest_says_what_the_decorator_says() -> None:
    made = manifest(resize_pictures, image="registry.example.com/shop:1", entrypoint="shop:resize_pictures")
    assert made == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": "resize"},
        "spec": {
            "description": "Make pictures smaller.",
            "image": "registry.example.com/shop:1",
            "entrypoint": "shop:resize_pictures",
            "queue": "slow",
            "timeoutSeconds": 600,
            "retry": {
                "maxAttempts": 5,
                "initialDelaySeconds": 2,
                "nonRetryableExitCodes": [3],
                "outOfMemory": {"resources": {"limits": {"memory": "2Gi"}}},
            },
            "resources": {"requests": {"cpu": "1"}},
            "payloadSchema": {
                "type": "object",
                "properties": {
                    "pictures": {"type": "array", "items": {"type": "string"}},
                    "width": {"type": "integer", "default": 800},
                },
                "required": ["pictures"],
                "additionalProperties": False,
            },
        },
    }
    assert TaskSpec.model_validate(made["spec"])


def everything(
    n: int,
    ratio: float,
    picture: Picture,
    options: Options,
    person: Person | None = None,
    pair: tuple[int, str] = (1, "a"),
    many: tuple[int, ...] = (),
    mode: Literal["a", 2] = "a",
    tags: set[str] | None = None,
    labels: dict[str, int] | None = None,
    free: Any = None,
    short: Annotated[str, "words"] = "",
    other: Mapping[str, Any] | bool = False,
) -> None: ...


GOOD: dict[str, Any] = {"n": 1, "ratio": 2, "picture": {"url": "u"}, "options": {}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"picture": {"url": "u", "size": "large", "parts": [{"url": "v"}]}},
        {"options": {"quality": 3, "more": None}},
        {"person": None},
        {"person": {"name": "Ada", "homes": [{"city": "London", "number": 1}]}},
        {"pair": [3, "c"]},
        {"many": [1, 2, 3]},
        {"mode": 2},
        {"tags": ["x", "x"]},
        {"labels": {"a": 1}},
        {"free": [{"x": 1.5}]},
        {"other": {"a": []}},
        {"other": True},
        {"n": "1"},
        {"n": True},
        {"ratio": "2"},
        {"picture": {}},
        {"picture": {"url": "u", "size": "huge"}},
        {"picture": {"url": "u", "parts": [{}]}},
        {"picture": {"url": "u", "colour": "red"}},
        {"options": {"quality": "high"}},
        {"person": {}},
        {"person": {"name": "Ada", "homes": [{"city": "London", "number": 0}]}},
        {"pair": [3]},
        {"pair": [3, "c", 4]},
        {"many": [1, "2"]},
        {"mode": "b"},
        {"tags": [1]},
        {"labels": {"a": "b"}},
        {"short": 3},
        {"other": []},
        {"more": 1},
    ],
)
def test_the_schema_takes_what_the_function_takes(change: dict[str, Any]) -> None:
    payload = GOOD | change
    try:
        bind(everything, payload)
        fits = True
    except PayloadError:
        fits = False
    assert (first_mismatch(json.dumps(payload_schema(everything)), payload) is None) == fits


def test_a_missing_argument_and_free_ones() -> None:
    def open_ended(n: int, **rest: int) -> None: ...

    def any_rest(**rest: Any) -> None: ...

    assert payload_schema(open_ended) == {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": {"type": "integer"},
    }
    assert payload_schema(any_rest) == {"type": "object", "properties": {}}


def test_models_are_checked_by_their_own_rules() -> None:
    def send(person: Person) -> None: ...

    _, kwargs = bind(send, {"person": {"name": "Ada"}})
    assert kwargs == {"person": Person(name="Ada")}
    with pytest.raises(PayloadError, match=r"argument 'person.homes.0.city': Field required"):
        bind(send, {"person": {"name": "Ada", "homes": [{"number": 1}]}})


def test_what_a_payload_cannot_fill_is_said_when_it_is_exported() -> None:
    @task
    def stores(where: Path) -> None: ...

    with pytest.raises(ConfigurationError, match="task stores: argument where has the type Path"):
        manifest(stores, image="i", entrypoint="m:f")


def test_a_function_that_cannot_be_imported_needs_an_entrypoint() -> None:
    @task
    def local() -> None: ...

    with pytest.raises(ConfigurationError, match="give its entrypoint"):
        manifest(local, image="i")


def test_two_types_of_one_name_are_distinguished() -> None:
    def make(kind: type) -> Callable[..., None]:
        def takes(a: Address, b: Any) -> None: ...

        takes.__annotations__ = {"a": Address, "b": kind}
        return takes

    other: type = dataclass(type("Address", (), {"__annotations__": {"street": str}}))
    with pytest.raises(TypeError, match="two types of the payload are called Address"):
        payload_schema(make(other))


MODULE = """
from __future__ import annotations
from json import dumps as resize
from dataclasses import dataclass
from typing import List, Optional
from tidegate import task
from others import imported

@dataclass
class Range:
    first: int
    last: Optional[int] = None

@task
def import_orders(orders: Range, shops: List[str]) -> int: ...

@task(name="b")
async def other(): ...
"""


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_a_modules_own_tasks_are_exported_by_name(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "shop.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "others.py").write_text("from tidegate import task\n@task\ndef imported(): ...", encoding="utf-8")
    code = "import json; from tidegate.manifests import export; print(json.dumps(export('shop', image='i')))"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(RUNNER)}, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)
    assert [(one["metadata"]["name"], one["spec"]["entrypoint"]) for one in made] == [
        ("b", "shop:other"),
        ("import-orders", "shop:import_orders"),
    ]
    schema = made[1]["spec"]["payloadSchema"]
    assert schema["properties"]["orders"] == {"$ref": "#/$defs/Range"}
    assert schema["$defs"]["Range"]["required"] == ["first"]


def test_a_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(EntrypointError, match="can't import nowhere"):
        export("nowhere", image="i")


@task(pool="warm", timeout=5, retry=Retry(max_attempts=2))
def warm_task(n: int) -> int:
    return n


def test_a_task_with_a_pool_has_no_image() -> None:
    made = manifest(warm_task, entrypoint="shop:warm_task")
    assert made["spec"] == {
        "pool": "warm",
        "entrypoint": "shop:warm_task",
        "payloadSchema": payload_schema(warm_task.function),
        "retry": {"maxAttempts": 2},
        "timeoutSeconds": 5,
    }


def test_what_is_the_pools_is_refused_all_at_once() -> None:
    @task(pool="warm", resources={"limits": {"cpu": "1"}}, retry=Retry(out_of_memory={"limits": {"memory": "1Gi"}}))
    def greedy() -> None: ...

    with pytest.raises(
        ConfigurationError, match=r"task greedy has the pool warm and image and resources and retry.out_of_memory: "
    ):
        manifest(greedy, image="i", entrypoint="m:greedy")


def test_a_task_needs_an_image_or_a_pool() -> None:
    @task
    def homeless() -> None: ...

    @task(pool="")
    def nameless() -> None: ...

    with pytest.raises(ConfigurationError, match="task homeless has neither an image nor a pool"):
        manifest(homeless, entrypoint="m:homeless")
    with pytest.raises(ConfigurationError, match="task nameless has a pool without a name"):
        manifest(nameless, entrypoint="m:nameless")


def test_a_module_may_have_tasks_of_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(
        "from tidegate import task\n@task\ndef cold(): pass\n@task(pool='warm')\ndef quick(): pass\n"
    )
    code = "import json; from tidegate.manifests import export; print(json.dumps(export('both', image='i')))"
    done = subprocess.run(
        [interpreter("3.11") or "python3", "-c", code],
        env={"PYTHONPATH": f"{RUNNER}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [(made["spec"].get("image"), made["spec"].get("pool")) for made in json.loads(done.stdout)] == [
        ("i", None),
        (None, "warm"),
    ]
