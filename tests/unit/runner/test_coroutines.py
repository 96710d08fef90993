"""A coroutine is awaited, however it is wrapped; a generator is refused."""

from pathlib import Path

import pytest
from support.runner import RunnerPod, interpreter

TASKS = """
import asyncio, functools, time
from tidegate import task, testing

def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        finally:
            print("timed")
    return inner

async def add(n: int, by: int = 1) -> int:
    await asyncio.sleep(0)
    return n + by

class Callable:
    async def __call__(self, n: int) -> int:
        return await add(n)

class Awaitable:
    def __init__(self, n): self.n = n
    def __await__(self): return add(self.n).__await__()

decorated = task(timed(add))
partial = task(functools.partial(add, by=1))
plain_partial = functools.partial(add, by=1)
instance = task(Callable())
plain_instance = Callable()

@task
def returns_a_coroutine(n: int): return add(n)

@task
def returns_an_awaitable(n: int): return Awaitable(n)

@task
def returns_a_task(n: int):
    loop = asyncio.new_event_loop()
    return loop.create_task(add(n))

@task
def returns_a_future(n: int):
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, n + 1)
    return future

@task
def generator(n: int): yield n

@task
async def async_generator(n: int): yield n

@task
def returns_a_generator(n: int): return (i for i in range(n))

@task
async def leaves_tasks(n: int):
    async def left():
        try:
            await asyncio.sleep(60)
        finally:
            print("ended")
    asyncio.ensure_future(left())
    await asyncio.sleep(0)
    return n + 1

@decorated.on_start
@timed
async def begins(): print("begins")

@decorated.on_success
@timed
async def praises(result): print("praised", result)
"""

WRAPPED = [
    "decorated",
    "partial",
    "plain_partial",
    "instance",
    "plain_instance",
    "returns_a_coroutine",
    "returns_an_awaitable",
    "returns_a_task",
    "returns_a_future",
    "leaves_tasks",
]


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


@pytest.mark.parametrize("entrypoint", WRAPPED)
def test_what_can_be_awaited_is_awaited(pod: RunnerPod, entrypoint: str) -> None:
    ended = pod.run(f"tasks:{entrypoint}", {"n": 1}, PYTHONWARNINGS="error")
    assert (ended.code, ended.value, ended.err) == (0, 2, "")
    if entrypoint == "leaves_tasks":
        assert ended.out == "ended\n"


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_so_it_is_on_other_pythons_and_for_hooks(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    ended = RunnerPod(tmp_path, TASKS, python).run("tasks:decorated", {"n": 1})
    assert (ended.code, ended.value) == (0, 2)
    assert ended.out.split("\n") == ["timed", "begins", "timed", "timed", "praised 2", ""]


@pytest.mark.parametrize("entrypoint", ["generator", "async_generator", "returns_a_generator"])
def test_a_generator_is_refused_in_one_line_and_never_tried_again(pod: RunnerPod, entrypoint: str) -> None:
    ended = pod.run(f"tasks:{entrypoint}", {"n": 1})
    assert (ended.code, ended.result) == (
        64,
        "the function is a generator, of which nothing runs: return a list, or nothing",
    )
    assert "Traceback" not in ended.err
