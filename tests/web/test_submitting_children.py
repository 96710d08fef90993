"""Runs that a run starts by the library, as its children: made, waited for, read and cancelled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.containers import Container
from support.pods import Pod
from support.runs import now
from support.web import MirrorThread, Parts, Stack
from tidegate_api.run_names import name_of_key

TASKS = """
from tidegate import task

@task
def resize(n: int): ...

@task
def starts():
    handle = resize.submit({"n": 1}, priority=5, tags=["x"])
    print(handle.name, flush=True)
    return handle.result(timeout=120)

@task
def starts_many():
    return [handle.name for handle in resize.submit_many([{"n": n} for n in range(3)], batch="night")]

@task
def once():
    first = resize.submit_many([{"n": 1}, {"n": 2}], idempotency_keys=["a", "b"])
    return [first[0].name, resize.submit({"n": 1}, idempotency_key="a").name]

@task
def meets():
    handle = resize.submit({"n": 1}, idempotency_key="a")
    print(handle.name, flush=True)
    return handle.result(timeout=120)

@task
def finds():
    from tidegate.client import connect
    name = resize.submit({"n": 1}).name
    return [connect().find(name).name == name, connect().find("stranger").name]

@task
def cancels():
    handle = resize.submit({"n": 1})
    handle.cancel()
    print(handle.name, flush=True)
    seen = handle.wait(timeout=120)
    handle.cancel()
    return seen.phase
"""


@pytest.fixture
def url(parts: Parts) -> Iterator[str]:
    with parts.served(parts.internal) as address:
        yield address


def succeed(stack: Stack, name: str, **status: Any) -> None:
    stack.runs.status(name, phase="Succeeded", startedAt=now(), finishedAt=now(), **status)


@pytest.fixture
def container(stack: Stack, parts: Parts, url: str, tmp_path: Path) -> Container:
    return Container(tmp_path, Pod(stack, parts), url, tasks=TASKS)


def test_a_run_starts_children_and_reads_what_they_return(
    stack: Stack, parts: Parts, mirror: MirrorThread, container: Container
) -> None:
    process = container.start("tasks:starts")
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    made: Any = stack.runs.get(name)
    assert (made["spec"]["parentRun"], made["spec"]["priority"]) == ("works", 5)
    succeed(stack, name, result={"n": 1})
    ended = container.ended(process)
    assert (ended.code, ended.value) == (0, {"n": 1}), ended.err


def test_children_come_in_numbers_and_once_a_key(stack: Stack, parts: Parts, container: Container) -> None:
    assert len(set(container.run("tasks:starts_many").value)) == 3
    first, second = container.run("tasks:once").value
    assert first == second


def test_a_run_waits_for_one_that_its_key_has_met(
    stack: Stack, parts: Parts, mirror: MirrorThread, container: Container
) -> None:
    name = name_of_key(stack.project, "resize", "a")
    stack.runs.create(name, idempotencyKey="a", taskRef={"name": "resize"}, payload={"n": 1})
    process = container.start("tasks:meets")
    assert process.stdout is not None
    assert process.stdout.readline().strip() == name
    succeed(stack, name, result={"n": 1})
    ended = container.ended(process)
    assert (ended.code, ended.value) == (0, {"n": 1}), ended.err


def test_a_run_finds_its_own_children_alone(stack: Stack, parts: Parts, container: Container) -> None:
    stack.runs.create("stranger")
    ended = container.run("tasks:finds")
    assert (ended.code, ended.result) == (1, "ApiError: there is no run stranger")


def test_a_run_reads_a_child_whose_result_is_large(
    stack: Stack, parts: Parts, mirror: MirrorThread, container: Container
) -> None:
    process = container.start("tasks:starts")
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    child = Pod(stack, parts, name, run=stack.runs.get(name))
    sent = child.send("result", json.dumps(["x" * 6000]).encode())
    succeed(stack, name, resultRef=sent.json)
    ended = container.ended(process)
    assert ended.code == 0, ended.err
    assert ended.value["tidegate.dev/resultRef"] == sent.json  # it gave the same back, and that is stored as well


def test_a_run_cancels_its_child(stack: Stack, parts: Parts, mirror: MirrorThread, container: Container) -> None:
    process = container.start("tasks:cancels")
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert stack.runs.get(name)["spec"]["cancel"] is True
    stack.runs.status(name, phase="Cancelled", reason="Cancelled", finishedAt=now())
    ended = container.ended(process)
    assert (ended.code, ended.value) == (0, "Cancelled"), ended.err


def test_without_the_web_part_there_are_no_children(container: Container) -> None:
    del container.env["TIDEGATE_API_URL"]
    ended = container.run("tasks:starts")
    assert (ended.code, ended.result.startswith("NeedsApi: to start runs in a run")) == (64, True)
