"""What a task says beside its function: hooks around it, structured lines, and who it works for."""

import json
import signal
from pathlib import Path

import pytest
from support.runner import RunnerPod

TASKS = """
import asyncio, sys, threading, time
from tidegate import AbortRun, NotInRun, RetryAfter, current_run, log, progress, task

@task
def works(how: str = "well"):
    print("works")
    if how == "badly": raise ValueError("no way")
    if how == "never": raise AbortRun("hopeless")
    if how == "later": raise RetryAfter(3)
    if how == "not JSON": return b"1"
    return 42

@works.on_start
async def begin(): print("begins, attempt", current_run().attempt)

@works.on_success
def praise(result): print("succeeded with", result)

@works.on_success
def praise_badly(result): raise RuntimeError("in a hook")

@works.on_success
def leave(result): sys.exit(9)

@works.on_failure
def blame(error): print("failed with", type(error).__name__)

@task
def unready(): print("works")

@unready.on_start
def refuse(): raise AbortRun("not here")

@task
def who():
    run = current_run()
    return [run.name, run.uid, run.project, run.task, run.queue, run.attempt, run.max_attempts, 50 < run.seconds_left <= 60]

@task
def endless(): return current_run().seconds_left

@task
def logs():
    log.info("resized", picture="a.jpg", size=(1, 2), what=ValueError("x"))
    log.error("a\\nb", level=3)
    circle = []; circle.append(circle)
    log.warning("odd", circle=circle)
    threads = [threading.Thread(target=lambda: [log.debug("x" * 500) for _ in range(50)]) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()

@task
async def slow_to_end():
    return "done"

@slow_to_end.on_success
def linger(result):
    print("lingers")
    time.sleep(1)
    print("lingered")
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


def test_hooks_stand_around_the_function(pod: RunnerPod) -> None:
    ended = pod.run("tasks:works", TIDEGATE_RUN="r", TIDEGATE_ATTEMPT="2")
    assert ended.out.splitlines() == ["begins, attempt 2", "works", "succeeded with 42"]
    assert (ended.code, ended.value, "in a hook" in ended.err) == (0, 42, True)


@pytest.mark.parametrize(
    ("how", "code", "error"),
    [("badly", 1, "ValueError"), ("never", 64, "AbortRun"), ("later", 65, "RetryAfter"), ("not JSON", 1, "TypeError")],
)
def test_a_failure_reaches_its_hooks_and_ends_as_before(pod: RunnerPod, how: str, code: int, error: str) -> None:
    ended = pod.run("tasks:works", {"how": how}, TIDEGATE_RUN="r")
    assert (ended.code, ended.out.splitlines()[-1]) == (code, f"failed with {error}")
    assert "succeeded" not in ended.out


def test_a_payload_that_does_not_fit_is_a_failure_too(pod: RunnerPod) -> None:
    ended = pod.run("tasks:works", {"how": 3})
    assert (ended.code, ended.out) == (64, "failed with PayloadError\n")


def test_a_start_hook_can_refuse_to_begin(pod: RunnerPod) -> None:
    ended = pod.run("tasks:unready")
    assert (ended.code, ended.result, ended.out) == (64, "not here", "")


def test_sigterm_after_a_coroutine_has_ended_does_not_kill_its_hooks(pod: RunnerPod) -> None:
    process = pod.start("tasks:slow_to_end")
    assert process.stdout is not None
    assert process.stdout.readline() == "lingers\n"
    process.send_signal(signal.SIGTERM)
    ended = pod.ended(process)
    assert (ended.code, ended.value, ended.out) == (0, "done", "lingered\n")


def test_a_run_knows_who_it_is_and_how_much_time_it_has(pod: RunnerPod) -> None:
    ended = pod.run(
        "tasks:who",
        TIDEGATE_RUN="r-1",
        TIDEGATE_RUN_UID="u-1",
        TIDEGATE_NAMESPACE="shop",
        TIDEGATE_TASK="who",
        TIDEGATE_QUEUE="default",
        TIDEGATE_ATTEMPT="4",
        TIDEGATE_MAX_ATTEMPTS="3",
        TIDEGATE_TIMEOUT_SECONDS="60",
    )
    assert ended.value == ["r-1", "u-1", "shop", "who", "default", 4, 3, True]
    assert pod.run("tasks:endless", TIDEGATE_RUN="r-1").code == 0


def test_where_there_is_no_run_that_is_said(pod: RunnerPod) -> None:
    assert "NotInRun: there is no run here" in pod.run("tasks:who").result


def test_log_lines_are_json_each_in_one_piece(pod: RunnerPod) -> None:
    ended = pod.run("tasks:logs")
    first, second, third, *others = [json.loads(line) for line in ended.out.splitlines()]
    at = first.pop("time")
    assert (len(at), at[-1]) == (24, "Z")
    assert first == {"picture": "a.jpg", "size": [1, 2], "what": "x", "level": "info", "message": "resized"}
    assert (second["level"], second["message"]) == ("error", "a\nb")
    assert (third["level"], third["message"], "[[...]]" in third["values"]) == ("warning", "odd", True)
    assert len(others) == 200
