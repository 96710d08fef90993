"""The process of a task begins and ends as any Python program does."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.runner import RUNNER, RunnerPod, interpreter

VERSIONS = ["3.9", "3.11", "3.13"]

TASKS = """
import _thread, asyncio, atexit, concurrent.futures, multiprocessing, os, signal, subprocess, sys, threading, time
from tidegate import AbortRun, task

table = open("table.csv", "w")
gate = threading.Event()

def upload():
    gate.wait()
    open("uploaded", "w").close()

def at_exit():
    print("exit handler")
    gate.set()

def write(name):
    open(name, "w").close()

@task
def leaves_all():
    atexit.register(print, "exit handler")
    table.write("id,name\\n")
    threading.Thread(target=upload).start()
    concurrent.futures.ThreadPoolExecutor(1).submit(write, "executed")
    multiprocessing.get_context("fork").Process(target=write, args=("forked",)).start()
    threading.Timer(0.1, gate.set).start()
    return 1

@task
def bad_exit_handler():
    atexit.register(lambda: 1 / 0)
    atexit.register(sys.exit, 9)
    return 1

@task
def fails():
    atexit.register(print, "exit handler")
    raise AbortRun("hopeless")

@task
def watches_the_main_thread():
    def watch():
        threading.main_thread().join()
        print("the main thread has ended")
    threading.Thread(target=watch).start()
    return 1

@task
def waits_for_a_thread():
    atexit.register(print, "exit handler")
    threading.Thread(target=lambda: (print("started"), time.sleep(60))).start()
    return 1

@task
def is_signalled_as_it_begins_to_wait():
    def signalled():
        print("started")
        while threading.main_thread().is_alive():
            time.sleep(0.01)
        time.sleep(0.2)
        # As of a signal that came before the wait: its handler is to be called, and nothing interrupts the wait.
        _thread.interrupt_main(signal.SIGTERM)
        time.sleep(60)
    threading.Thread(target=signalled).start()
    return 1

@task
def waits_for_a_process():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
    atexit.register(print, "started")
    return 1

@task
def lingers_in_a_hook():
    threading.Thread(target=time.sleep, args=(60,)).start()

@lingers_in_a_hook.on_success
def linger(result):
    print("started")
    while not os.path.exists("told"): time.sleep(0.01)

for each in (waits_for_a_thread, is_signalled_as_it_begins_to_wait, waits_for_a_process, lingers_in_a_hook):
    each.on_success(lambda result: print("succeeded"))
    each.on_cancel(lambda: print("cancelled"))

@task
def leaves_by(how: str):
    print("worked")
    if how == "zero": sys.exit(0)
    if how == "none": sys.exit()
    if how == "text": sys.exit("no such shop")
    if how == "minus": sys.exit(-1)

leaves_by.on_success(lambda result: print("succeeded with", result))
leaves_by.on_failure(lambda error: print("failed with", repr(error)))

@task
async def leaves_a_loop():
    sys.exit(3)

@task
def forks():
    child = os.fork()
    if child == 0:
        sys.exit("the child leaves the function")
    os.waitpid(child, 0)
    child = os.fork()
    if child == 0:
        raise AbortRun("the child fails")
    os.waitpid(child, 0)
    child = os.fork()
    if child == 0:
        return "of the child"
    os.waitpid(child, 0)
    return "of the parent"

forks.on_success(lambda result: print("succeeded with", result))
forks.on_failure(lambda error: print("failed"))
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


def of_python(tmp_path: Path, version: str) -> RunnerPod:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    return RunnerPod(tmp_path, TASKS, python)


@pytest.mark.parametrize("version", VERSIONS)
def test_threads_processes_exit_handlers_and_buffers_end_as_in_any_program(tmp_path: Path, version: str) -> None:
    ended = of_python(tmp_path, version).run("tasks:leaves_all")
    assert (ended.code, ended.value, ended.out) == (0, 1, "exit handler\n")
    assert (tmp_path / "table.csv").read_text() == "id,name\n"
    assert {"uploaded", "executed", "forked"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_goes_wrong_at_exit_changes_no_outcome(tmp_path: Path, version: str) -> None:
    pod = of_python(tmp_path, version)
    ended = pod.run("tasks:bad_exit_handler")
    assert (ended.code, ended.value, "ZeroDivisionError" in ended.err) == (0, 1, True)
    failed = pod.run("tasks:fails")
    assert (failed.code, failed.result, failed.out) == (64, "hopeless", "exit handler\n")


def test_a_thread_that_waits_for_the_main_thread_does_not_hold_the_process(pod: RunnerPod) -> None:
    ended = pod.run("tasks:watches_the_main_thread")
    assert (ended.code, ended.out) == (0, "the main thread has ended\n")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("waits", ["waits_for_a_thread", "waits_for_a_process"])
def test_sigterm_while_threads_or_processes_are_waited_for_is_a_cancellation(
    tmp_path: Path, version: str, waits: str
) -> None:
    pod = of_python(tmp_path, version)
    process = pod.start(f"tasks:{waits}")
    assert process.stdout is not None
    lines = {process.stdout.readline(), process.stdout.readline()}
    assert lines == {"started\n", "succeeded\n"}
    process.send_signal(signal.SIGTERM)
    ended = pod.ended(process)
    assert (ended.code, ended.result) == (143, "terminated by SIGTERM")
    assert ended.out.startswith("cancelled\n")
    assert ("exit handler" in ended.out) == (waits == "waits_for_a_thread")


# Before Python 3.10 nothing but SIGINT can be simulated.
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_sigterm_as_the_wait_for_threads_begins_is_not_lost(tmp_path: Path, version: str) -> None:
    ended = of_python(tmp_path, version).run("tasks:is_signalled_as_it_begins_to_wait")
    assert (ended.code, ended.result) == (143, "terminated by SIGTERM")


def test_sigterm_while_a_hook_runs_lets_it_end_and_then_no_thread_is_waited_for(pod: RunnerPod) -> None:
    process = pod.start("tasks:lingers_in_a_hook")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    (pod.folder / "told").touch()
    ended = pod.ended(process)
    assert (ended.code, ended.out) == (143, "succeeded\ncancelled\n")


@pytest.mark.parametrize(
    ("how", "code", "result", "hook"),
    [
        ("zero", 0, "", "succeeded with None"),
        ("none", 0, "", "succeeded with None"),
        ("text", 1, "no such shop", "failed with SystemExit('no such shop')"),
        ("minus", 255, "", "failed with SystemExit(-1)"),
    ],
)
def test_an_exit_of_the_functions_own_is_the_end_that_it_names(
    pod: RunnerPod, how: str, code: int, result: str, hook: str
) -> None:
    ended = pod.run("tasks:leaves_by", {"how": how})
    assert (ended.code, ended.result, ended.out) == (code, result, f"worked\n{hook}\n")
    assert pod.run("tasks:leaves_a_loop").code == 3


@pytest.mark.parametrize("call", ["sys.exit()", "sys.exit(0)", "sys.exit(2)", "raise KeyboardInterrupt"])
def test_a_module_that_exits_when_it_is_imported_fails_at_once(pod: RunnerPod, call: str) -> None:
    (pod.folder / "nightly.py").write_text(f"import sys\ndef work(): return 1\n{call}\n", encoding="utf-8")
    ended = pod.run("nightly:work")
    assert (ended.code, ended.result.startswith("can't import nightly: ")) == (64, True)
    assert ("when it is imported" in ended.result) == call.startswith("sys.exit")


def test_a_forked_child_that_leaves_the_function_is_not_the_attempt(pod: RunnerPod) -> None:
    ended = pod.run("tasks:forks")
    assert (ended.code, ended.value, ended.out) == (0, "of the parent", "succeeded with of the parent\n")
    assert "the child leaves the function" in ended.err
    assert "the child fails" in ended.err


@pytest.mark.parametrize("file", ["/dev/full", "nowhere/result"])
def test_a_result_that_cannot_be_written_is_a_failure_that_says_so(pod: RunnerPod, file: str) -> None:
    ended = pod.run("tasks:bad_exit_handler", TIDEGATE_RESULT_FILE=file)
    assert ended.code == 1
    assert "tidegate: the task has ended, and its result can't be written: [Errno" in ended.err
    assert pod.run("tasks:fails", TIDEGATE_RESULT_FILE=file).code == 64


def test_an_importing_program_without_arguments_gets_the_usage() -> None:
    done = subprocess.run(
        [interpreter("3.11") or "python3", "-m", "tidegate"],
        env={"PYTHONPATH": str(RUNNER), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (64, "usage: python -m tidegate package.module:function\n")
