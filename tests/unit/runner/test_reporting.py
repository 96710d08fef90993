"""Progress and metadata: anything may be passed, nothing of it ends the attempt, and what was reported arrives."""

import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.runner import RunnerPod, interpreter
from support.scripted import Asked, Says, ScriptedWeb
from tidegate import metadata, progress, testing

TASKS = """
import atexit, multiprocessing, threading
from decimal import Decimal
from tidegate import metadata, progress, task

@task
def odd():
    progress(Decimal("0.5"), "half")
    progress("0.6")
    progress(None)
    progress("0.7")
    progress(1.1, None)
    progress(7)
    metadata.set("rows", 3)
    return 1

def count(name):
    metadata.increment(name)

@task
def counts_everywhere():
    count("before")
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=count, args=(method,))
        child.start()
        child.join()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(count, ("pool",))
        pool.close()
        pool.join()
    threading.Timer(0.1, count, ("thread",)).start()
    atexit.register(count, "exit")

@task
def counts_at_exit():
    atexit.register(count, "exit")

@task
def loses_the_thread():
    from tidegate import reporting
    real, calls = reporting.joined, []
    def joined(changes):
        calls.append(1)
        if len(calls) == 1: raise SystemExit("ends the thread")
        if len(calls) == 2: raise RuntimeError("a fault")
        return real(changes)
    reporting.joined = joined
    count("first")
    for thread in threading.enumerate():
        if thread.name == "tidegate-reporter": thread.join()
    count("second")
"""


@contextmanager
def web(pod: RunnerPod, answer: Callable[[Asked], Says] = lambda _: Says(204)) -> Iterator[tuple[ScriptedWeb, Any]]:
    token = pod.folder / "token"
    token.write_text("the-token\n", encoding="ascii")
    with ScriptedWeb(answer) as server:
        variables = {"API_URL": server.url, "RUN": "works", "RUN_UID": "u-1", "TOKEN_FILE": str(token)}
        yield server, {f"TIDEGATE_{name}": value for name, value in variables.items()}


def counted(server: ScriptedWeb) -> dict[str, int]:
    sums: dict[str, int] = {}
    for asked in server.to("/metadata"):
        for key, by in asked.json["increment"].items():
            sums[key] = sums.get(key, 0) + by
    return sums


def test_odd_progress_is_a_warning_of_each_kind_and_what_follows_arrives(tmp_path: Path) -> None:
    pod = RunnerPod(tmp_path, TASKS)
    with web(pod) as (server, env):
        ended = pod.run("tasks:odd", **env)
    assert (ended.code, ended.value) == (0, 1)
    assert ended.err.splitlines() == [
        "tidegate: progress takes a number from 0 to 1: a str that is none is left out",
        "tidegate: progress takes a number from 0 to 1: a NoneType that is none is left out",
        "tidegate: progress takes a number from 0 to 1: 1.1 counts as 1",
    ]
    assert server.to("/progress")[-1].json == {"progress": 1.0, "message": ""}
    assert server.to("/metadata")[-1].json == {"set": {"rows": 3}}


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_what_threads_children_and_exit_handlers_report_arrives(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    pod = RunnerPod(tmp_path, TASKS, python)
    with web(pod) as (server, env):
        ended = pod.run("tasks:counts_everywhere", **env)
    assert (ended.code, ended.err) == (0, "")
    assert counted(server) == dict.fromkeys(("before", "fork", "spawn", "pool", "thread", "exit"), 1)
    with web(pod) as (server, env):
        ended = pod.run("tasks:counts_at_exit", **env)
    assert (ended.code, ended.err, counted(server)) == (0, "", {"exit": 1})


def test_a_reporting_thread_that_has_ended_is_started_again(tmp_path: Path) -> None:
    pod = RunnerPod(tmp_path, TASKS)
    with web(pod) as (server, env):
        ended = pod.run("tasks:loses_the_thread", **env)
    assert (ended.code, counted(server)) == (0, {"first": 1, "second": 1})
    assert "changes can't be reported: a fault" in ended.err


class Real:
    """A number of a package: numpy's are such."""

    def __float__(self) -> float:
        return 0.25


class Broken:
    def __float__(self) -> float:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (Real(), 0.25),
        (1.0000000001, 1.0),
        (-0.1, 0.0),
        (math.inf, 1.0),
        (-math.inf, 0.0),
        (10**400, 1.0),
        (-(10**400), 0.0),
        (True, 1.0),
    ],
)
def test_progress_is_any_real_number(given: Any, kept: float) -> None:
    with testing.fake_run() as run:
        progress(given)
    assert run.progress == [(kept, "")]


@pytest.mark.parametrize("given", [math.nan, Decimal("nan"), "0.5", None, [], 1j, Broken()])
def test_what_is_no_number_is_left_out_with_one_warning(given: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with testing.fake_run() as run:
        progress(given)
        progress(given)
    assert run.progress == []
    assert capfd.readouterr().err.count("is left out") == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, ""), (3, "3"), (ValueError("x"), "x"), (Broken(), "<Broken: RuntimeError>"), ("a\0\ud800", "a\ufffd?")],
)
def test_the_words_are_anything(given: Any, kept: str) -> None:
    with testing.fake_run() as run:
        progress(0.5, given)
    assert run.progress == [(0.5, kept)]


def test_metadata_are_converted_as_results_are() -> None:
    with testing.fake_run() as run:
        metadata.set("day", dt.date(2026, 1, 2))
        metadata.append("names", {"b", "a"})
        metadata.increment("rows", Decimal("1.5"))
        metadata.increment("rows", 2)
    assert run.metadata == {"day": "2026-01-02", "names": [["a", "b"]], "rows": 3.5}


@pytest.mark.parametrize("value", [b"x", math.nan, 2**63, {"a": object()}])
def test_metadata_that_are_no_json_are_refused_at_the_call(value: Any) -> None:
    for web_app in (True, False):
        with testing.fake_run(web=web_app), pytest.raises(TypeError, match=r"^metadata 'rows' is not JSON"):
            metadata.set("rows", value)
    with testing.fake_run(), pytest.raises(TypeError, match="metadata 'rows' is not JSON"):
        metadata.append("rows", value)


@pytest.mark.parametrize("by", ["1", True, None, math.nan, 2**64])
def test_an_amount_is_a_number(by: Any) -> None:
    with testing.fake_run(), pytest.raises(TypeError):
        metadata.increment("rows", by)
