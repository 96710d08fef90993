"""Exceptions of the library: what they make of an attempt, alone, in groups, and out of other processes."""

import copy
import datetime as dt
import importlib
import pickle
import pkgutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import tidegate
from support.runner import RunnerPod, interpreter
from tidegate import AbortRun, ApiError, NeedsApi, RetryAfter, RunFailed
from tidegate.api import ApiClient
from tidegate.client import Handle, RunState, SubmitManyFailed
from tidegate.errors import TidegateError
from tidegate.failures import failure

TASKS = """
import asyncio, concurrent.futures, multiprocessing, sys
from tidegate import AbortRun, RetryAfter, task

def fetch(number):
    if number == 2:
        raise RetryAfter(60, "429 from upstream")
    return number

@task
def in_pool():
    with multiprocessing.Pool(2) as pool:
        return pool.map(fetch, range(4))

@task
def in_executor():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        return list(pool.map(fetch, range(4)))

async def gone(): raise AbortRun("the customer is gone")
async def limited(): raise RetryAfter(30, "rate limited")
async def broken(): raise ValueError("no way")

@task
async def group(abort: bool, later: bool, other: bool):
    async with asyncio.TaskGroup() as outer:
        if other: outer.create_task(broken())
        async with asyncio.TaskGroup() as inner:
            if later: inner.create_task(limited())
            if abort: inner.create_task(gone())

@task
def reset():
    raise RetryAfter(1767225600000, "429 Too Many Requests")

class Odd(RetryAfter):
    def __init__(self): pass

class Later(RetryAfter):
    def __init__(self): self.seconds = 10**12

@task
def odd(): raise Odd

@task
def later(): raise Later

class Unreadable(Exception):
    def __str__(self): raise RuntimeError("no text")

@task
def unreadable(): raise Unreadable

@task
def message(): raise AbortRun({"order": 3})
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


def exceptions() -> list[type[BaseException]]:
    """All exception classes of the package."""
    names = [
        one.name for one in pkgutil.walk_packages(tidegate.__path__, "tidegate.") if one.name != "tidegate.__main__"
    ]
    found = {
        name: value
        for module in map(importlib.import_module, names)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ in names
    }
    return [found[name] for name in sorted(found)]


MADE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "RetryAfter": ((dt.timedelta(minutes=1), "busy"), {}),
    "ApiError": (("away",), {"status": 503, "tries": 2, "lost": True}),
    "RunFailed": (("r", "Failed", "Error", "no way"), {}),
    "SubmitManyFailed": (
        (
            [Handle(ApiClient("http://api", "key"), RunState("r", "u", "Pending")), None],
            {1: ApiError("away", status=503)},
        ),
        {},
    ),
    "_Refused": ((404, "not there", 1.5), {}),
}


def state(error: BaseException) -> dict[str, Any]:
    return {name: repr(value) for name, value in vars(error).items()}


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_survives_pickling_and_copying(kind: type[BaseException]) -> None:
    arguments, options = MADE.get(kind.__name__, (("words",), {}))
    error = kind(*arguments, **options)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert (type(again), str(again), again.args) == (kind, str(error), error.args)
        assert state(again) == state(error)


def test_there_are_exceptions_to_be_looked_at() -> None:
    assert {AbortRun, ApiError, NeedsApi, RetryAfter, RunFailed, SubmitManyFailed} <= set(exceptions())


def test_an_exception_of_the_tasks_own_survives_too() -> None:
    class Limited(RetryAfter):
        def __init__(self, answer: dict[str, int]) -> None:
            super().__init__(answer["reset"], "limited")
            self.answer = answer

    globals()["Limited"] = Limited
    Limited.__qualname__ = "Limited"
    again = pickle.loads(pickle.dumps(Limited({"reset": 3})))  # noqa: S301 - our own
    assert (again.seconds, again.answer, str(again)) == (3, {"reset": 3}, "limited")


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
@pytest.mark.parametrize("where", ["in_pool", "in_executor"])
def test_retry_after_comes_out_of_other_processes(tmp_path: Path, version: str, where: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    ended = RunnerPod(tmp_path, TASKS, python).run(f"tasks:{where}")
    assert (ended.code, ended.value) == (65, {"retryAfterSeconds": 60, "message": "429 from upstream"})


@pytest.mark.parametrize(
    ("abort", "later", "other", "code", "words"),
    [
        (True, False, False, 64, "the customer is gone"),
        (True, True, True, 64, "the customer is gone"),
        (False, True, True, 65, '{"retryAfterSeconds": 30, "message": "rate limited"}'),
        (False, False, True, 1, "ValueError: no way"),
    ],
)
def test_in_a_group_of_exceptions_the_most_decisive_counts(
    pod: RunnerPod, abort: bool, later: bool, other: bool, code: int, words: str
) -> None:
    ended = pod.run("tasks:group", {"abort": abort, "later": later, "other": other})
    assert (ended.code, ended.result) == (code, words)
    assert "Exception Group Traceback" in ended.err


class Backport(Exception):  # noqa: N818 - a group, as the package's
    """As the package exceptiongroup has it: not Python's own class."""

    def __init__(self, message: str, exceptions: list[Exception]) -> None:
        super().__init__(message)
        self.exceptions = tuple(exceptions)


def test_groups_are_known_by_their_shape() -> None:
    deep = Backport("a", [Backport("b", [ValueError("x"), RetryAfter(3, "3"), RetryAfter(9, "9")]), KeyError("k")])
    found = failure(deep)
    assert (found.code, found.text) == (65, '{"retryAfterSeconds": 9, "message": "9"}')
    assert failure(Backport("a", [ValueError("x"), NeedsApi("no web")])).code == 64
    assert (
        failure(Backport("two failed", [ValueError("x"), KeyError("k")])).text == "Backport: two failed: ValueError: x"
    )


class Real:
    """A number of a package: numpy's are such."""

    def __float__(self) -> float:
        return 2.5


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (0, 0),
        (90, 90),
        (1.2, 2),
        (Decimal("2.5"), 3),
        (Fraction(7, 2), 4),
        (Real(), 3),
        (dt.timedelta(minutes=2), 120),
        (31_536_000, 31_536_000),
    ],
)
def test_a_delay_is_a_real_number_of_seconds_or_a_timedelta(seconds: Any, kept: int) -> None:
    assert RetryAfter(seconds).seconds == kept


@pytest.mark.parametrize(
    "seconds",
    [-1, 31_536_001, 1767225600000, float("nan"), float("inf"), 10**400, dt.timedelta(days=400), dt.timedelta(-1)],
)
def test_a_delay_out_of_bounds_is_refused_with_the_bound(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"RetryAfter takes 0 to 31,536,000 seconds .* \(429\)"):
        RetryAfter(seconds, "429")


@pytest.mark.parametrize("seconds", ["30", None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), True, [1], 1j, b"3"])
def test_what_is_no_number_is_refused_by_its_type(seconds: Any) -> None:
    with pytest.raises(TypeError, match="RetryAfter takes a number of seconds or a timedelta, not "):
        RetryAfter(seconds)


def test_a_message_may_be_anything() -> None:
    assert str(RetryAfter(3, {"a": 1})) == "{'a': 1}"
    assert [str(RetryAfter(3, nothing)) for nothing in (None, "")] == ["retry after 3 s"] * 2


@pytest.mark.parametrize(
    ("entrypoint", "code", "words"),
    [
        (
            "reset",
            1,
            "ValueError: RetryAfter takes 0 to 31,536,000 seconds (a year), not 1767225600000 (429 Too Many Requests)",
        ),
        ("odd", 1, "AttributeError: 'Odd' object has no attribute 'seconds'"),
        ("later", 1, "ValueError: RetryAfter takes 0 to 31,536,000 seconds (a year), not 1000000000000"),
        ("unreadable", 1, "Unreadable: <its text can't be read: RuntimeError>"),
        ("message", 64, "{'order': 3}"),
    ],
)
def test_an_odd_exception_is_an_ordinary_failure(pod: RunnerPod, entrypoint: str, code: int, words: str) -> None:
    ended = pod.run(f"tasks:{entrypoint}")
    assert (ended.code, ended.result) == (code, words)


def test_all_but_one_have_a_common_base() -> None:
    assert {kind.__name__ for kind in exceptions() if not issubclass(kind, TidegateError)} == {"RunCancelled"}
