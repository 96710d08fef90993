"""The runner, as a pod runs it: a process with a payload file, a result file and an exit code."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runner import RUNNER, RunnerPod, interpreter

TASKS = """
from __future__ import annotations
import asyncio, enum, sys, time
from dataclasses import dataclass
from typing import Literal, Optional, TypedDict
from tidegate import AbortRun, RetryAfter, progress, task

class Size(enum.Enum):
    SMALL = "small"

@dataclass
class Picture:
    url: str
    size: Size = Size.SMALL

class Options(TypedDict):
    quality: int

@task
def typed(n: int, ratio: float, picture: Picture, options: Options, mode: Literal["a", "b"] = "a", tags: Optional[list[str]] = None):
    return {"n": n, "ratio": ratio, "url": picture.url, "size": picture.size.value, "quality": options["quality"], "mode": mode, "tags": tags}

@task
async def coroutine(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1

@task
def nothing(): pass

@task
def broken(): raise ValueError("no\\nway")

@task
def abort(): raise AbortRun("hopeless")

@task
def later(): raise RetryAfter(30, "busy")

@task
def leaves(code: int): sys.exit(code)

@task
def not_json(): return {"pictures": [b"1"]}

@task
def told(): progress(0.5, "half"); return "ok"

@task
def long():
    try:
        print("started")
        time.sleep(60)
    except Exception:
        print("swallowed")
    finally:
        print("finally")

@long.on_cancel
def undo(): print("undone")

@long.on_cancel
def undo_badly(): raise RuntimeError("in a hook")

@long.on_cancel
async def undo_more(): print("undone too")

@task
async def long_coroutine():
    try:
        print("started")
        await asyncio.sleep(60)
    finally:
        print("finally")

plain = 3
def function(x: int): return x
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


PAYLOAD = {"n": 3, "ratio": 2, "picture": {"url": "u"}, "options": {"quality": 9}, "tags": ["x"]}
FILLED = {"n": 3, "ratio": 2.0, "url": "u", "size": "small", "quality": 9, "mode": "a", "tags": ["x"]}


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_arguments_are_filled_from_the_payload_on_every_python(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine; ruff and mypy still check the runner's syntax")
    ended = RunnerPod(tmp_path, TASKS, python).run("tasks:typed", PAYLOAD)
    assert (ended.code, ended.err) == (0, "")
    assert ended.value == FILLED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": "3"}, "argument 'n' must be integer, not string"),
        ({"n": True}, "argument 'n' must be integer, not boolean"),
        ({"n": 1.5}, "argument 'n' must be integer, not number"),
        ({"picture": {}}, "in 'picture': argument 'url' is missing"),
        ({"picture": {"url": "u", "size": "huge"}}, "must be one of 'small', not 'huge'"),
        ({"options": {}}, "'options.quality' is missing"),
        ({"mode": "c"}, "argument 'mode' must be one of 'a', 'b', not 'c'"),
        ({"tags": ["x", 1]}, "argument 'tags[1]' must be string, not integer"),
        ({"extra": 1}, "the payload has 'extra', which the task doesn't take"),
    ],
)
def test_a_payload_that_does_not_fit_is_never_retried(pod: RunnerPod, change: dict[str, object], words: str) -> None:
    ended = pod.run("tasks:typed", {**PAYLOAD, **change})
    assert ended.code == 64
    assert words in ended.result
    assert "Traceback" not in ended.err


def test_a_missing_argument_is_named(pod: RunnerPod) -> None:
    assert "argument 'n' is missing from the payload" in pod.run("tasks:typed", {}).result


@pytest.mark.parametrize("payload", [[], "x", 3])
def test_a_payload_is_an_object(pod: RunnerPod, payload: object) -> None:
    ended = pod.run("tasks:nothing", payload)
    assert (ended.code, "must be a JSON object" in ended.result) == (64, True)


def test_coroutines_and_plain_functions_are_tasks_too(pod: RunnerPod) -> None:
    assert pod.run("tasks:coroutine", {"x": 1}).value == 2
    assert pod.run("tasks:function", {"x": 7}).value == 7


def test_returning_nothing_is_no_result(pod: RunnerPod) -> None:
    ended = pod.run("tasks:nothing")
    assert (ended.code, ended.result, ended.out, ended.err) == (0, "", "", "")


def test_an_exception_is_one_line_in_the_message_and_a_traceback_in_the_log(pod: RunnerPod) -> None:
    ended = pod.run("tasks:broken")
    assert (ended.code, ended.result) == (1, "ValueError: no way")
    assert "Traceback" in ended.err
    assert str(RUNNER) not in ended.err  # the first line is the task's, not ours


def test_abort_and_retry_after_speak_by_exit_codes(pod: RunnerPod) -> None:
    aborted, later = pod.run("tasks:abort"), pod.run("tasks:later")
    assert (aborted.code, aborted.result) == (64, "hopeless")
    assert (later.code, later.value) == (65, {"retryAfterSeconds": 30, "message": "busy"})


@pytest.mark.parametrize(("code", "exits"), [(0, 0), (7, 7), (256, 1)])
def test_a_task_may_exit_by_itself(pod: RunnerPod, code: int, exits: int) -> None:
    assert pod.run("tasks:leaves", {"code": code}).code == exits


def test_a_result_must_be_json(pod: RunnerPod) -> None:
    ended = pod.run("tasks:not_json")
    assert (ended.code, ended.result) == (
        1,
        "TypeError: the result is not JSON at pictures[0]: a value of type bytes, which JSON doesn't have",
    )


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("nowhere:f", "can't import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        ("tasks:absent", "tasks has no absent"),
        ("tasks:plain", "tasks:plain is a int, not a function"),
        ("tasks", "'tasks' is not an entrypoint"),
        ("broken_module:f", "can't import broken_module: ZeroDivisionError: division by zero"),
    ],
)
def test_an_entrypoint_that_cannot_be_had_is_never_retried(pod: RunnerPod, entrypoint: str, words: str) -> None:
    (pod.folder / "broken_module.py").write_text("1 / 0", encoding="utf-8")
    ended = pod.run(entrypoint)
    assert ended.code == 64
    assert words in ended.result


@pytest.mark.parametrize("entrypoint", ["tasks:long", "tasks:long_coroutine"])
def test_sigterm_runs_finally_blocks_and_hooks(pod: RunnerPod, entrypoint: str) -> None:
    process = pod.start(entrypoint)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    ended = pod.ended(process)
    assert (ended.code, ended.result) == (143, "terminated by SIGTERM")
    assert "finally" in ended.out
    assert "swallowed" not in ended.out
    if entrypoint == "tasks:long":
        assert ended.out.splitlines()[-2:] == ["undone", "undone too"]
        assert "in a hook" in ended.err


def test_progress_without_the_web_part_is_one_warning(pod: RunnerPod) -> None:
    ended = pod.run("tasks:told")
    assert (ended.code, ended.value) == (0, "ok")
    assert ended.err.count("progress is not reported") == 1


def test_progress_that_cannot_be_reported_never_breaks_a_task(pod: RunnerPod) -> None:
    env = {
        "TIDEGATE_API_URL": "http://127.0.0.1:9",
        "TIDEGATE_RUN_UID": "u",
        "TIDEGATE_TOKEN_FILE": str(pod.folder / "none"),
    }
    ended = pod.run("tasks:told", **env)
    assert (ended.code, ended.value) == (0, "ok")
    assert ended.err.count("progress can't be reported") == 1


def test_the_runner_imports_the_standard_library_alone(pod: RunnerPod) -> None:
    code = (
        "import sys; import tidegate, tidegate.runner; "
        "print([m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names | {'tidegate', '__main__'}])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(RUNNER)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_task_is_still_its_function() -> None:
    from tidegate import task

    @task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    assert (add(1, b=2), add.name, add.__name__) == (3, "add", "add")
