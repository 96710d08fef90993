"""SIGTERM is the run's alone: children die of it as in any program, and nothing else counts as a cancellation."""

import signal
import sys
from pathlib import Path

import pytest
from support.runner import RUNNER, RunnerPod, interpreter

TASKS = """
import asyncio, concurrent.futures, multiprocessing, os, signal, subprocess, sys, threading, time
from tidegate import AbortRun, RetryAfter, RunCancelled, task

def sleep(begun=None):
    print("started", flush=True)
    if begun is not None: begun.set()
    time.sleep(60)

def child_ends(method):
    context = multiprocessing.get_context(method)
    begun = context.Event()
    child = context.Process(target=sleep, args=(begun,))
    child.start()
    begun.wait()
    child.terminate()
    child.join()
    return child.exitcode

def forked_child_ends():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"x")
        time.sleep(60)
    os.read(read, 1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def subprocess_ends():
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\\n"
    process.terminate()
    return process.wait()

def pool_ends():
    for _ in range(5):
        pool = multiprocessing.get_context("fork").Pool(2)
        pool.map_async(time.sleep, [60, 60])
        pool.terminate()
        pool.join()
    return -15

def child_ends_in(method):
    return {"os.fork": forked_child_ends, "subprocess": subprocess_ends, "pool": pool_ends}.get(method, lambda: child_ends(method))()

@task
def children(method: str):
    return child_ends_in(method)

@task
async def children_of_a_coroutine(method: str):
    return child_ends_in(method)

for each in (children, children_of_a_coroutine):
    each.on_cancel(lambda: print("cancelled", flush=True))
    each.on_failure(lambda error: print("failed", error, flush=True))

@task
def own_handler():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    return child_ends("fork")

def sleep_with_a_handler(begun):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    sleep(begun)

@task
async def childs_handler():
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    child = context.Process(target=sleep_with_a_handler, args=(begun,))
    child.start()
    begun.wait()
    child.terminate()
    child.join()
    for _ in range(10):
        await asyncio.sleep(0.001)  # where it would be cancelled
    return child.exitcode

@task
def raises(what: str):
    if what == "RunCancelled": raise RunCancelled("mine")
    if what == "KeyboardInterrupt": raise KeyboardInterrupt
    if what == "CancelledError": raise asyncio.CancelledError
    if what == "concurrent": raise concurrent.futures.CancelledError

@task
async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(60)

@task
async def handles_a_cancellation():
    other = asyncio.ensure_future(asyncio.sleep(60))
    other.cancel()
    try:
        await other
    except asyncio.CancelledError:
        return "handled"

for each in (raises, cancels_itself, handles_a_cancellation):
    each.on_cancel(lambda: print("cancelled"))
    each.on_failure(lambda error: print("failed"))
    each.on_success(lambda result: print("succeeded"))

@task
def told(then: str):
    try:
        sleep()
    except RunCancelled as error:
        if then == "result": return "what there is"
        if then == "retry": raise RetryAfter(9, "goes on later")
        if then == "exit": sys.exit(5)
        if then == "wrapped": raise ValueError("a library's own") from error
        if then == "unrelated": pass
        if then == "cleaning": 1 / 0
    raise ValueError("of its own")

@task
async def awaits_a_thread():
    try:
        print("started", flush=True)
        await asyncio.to_thread(time.sleep, 60)
    finally:
        print("finally")

@task
async def breaks_when_told():
    try:
        print("started", flush=True)
        await asyncio.sleep(60)
    finally:
        1 / 0

@task
async def leaves_a_thread():
    asyncio.get_running_loop().run_in_executor(None, sleep)
    return 1

for each in (told, awaits_a_thread, breaks_when_told, leaves_a_thread):
    each.on_cancel(lambda: print("cancelled", flush=True))
    each.on_failure(lambda error: print("failed", flush=True))
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


@pytest.mark.parametrize("entrypoint", ["tasks:children", "tasks:children_of_a_coroutine"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "os.fork", "subprocess", "pool"])
def test_a_child_that_gets_sigterm_dies_of_it_and_runs_no_hook(pod: RunnerPod, entrypoint: str, method: str) -> None:
    ended = pod.run(entrypoint, {"method": method})
    assert (ended.code, ended.value) == (0, -signal.SIGTERM), ended.err
    assert "cancelled" not in ended.out
    assert "failed" not in ended.out


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_so_does_a_pool_on_other_pythons(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    pod = RunnerPod(tmp_path, TASKS, python)
    assert pod.run("tasks:children", {"method": "pool"}).code == 0
    assert pod.run("tasks:children_of_a_coroutine", {"method": "os.fork"}).value == -signal.SIGTERM


def test_a_handler_of_the_tasks_own_is_inherited_as_in_any_program(pod: RunnerPod) -> None:
    assert pod.run("tasks:own_handler").value == 7
    assert pod.run("tasks:childs_handler").value == 7


@pytest.mark.parametrize("what", ["RunCancelled", "KeyboardInterrupt", "CancelledError", "concurrent"])
def test_what_the_task_raises_itself_is_a_failure(pod: RunnerPod, what: str) -> None:
    ended = pod.run("tasks:raises", {"what": what})
    assert (ended.code, ended.out) == (1, "failed\n")


def test_cancellations_within_a_coroutine_are_its_own(pod: RunnerPod) -> None:
    ended = pod.run("tasks:cancels_itself")
    assert (ended.code, ended.result, ended.out) == (1, "CancelledError", "failed\n")
    assert pod.run("tasks:handles_a_cancellation").out == "succeeded\n"


@pytest.mark.parametrize(
    ("entrypoint", "then", "code", "hooks"),
    [
        ("told", "result", 0, []),
        ("told", "retry", 65, ["failed"]),
        ("told", "exit", 5, ["failed"]),
        ("told", "unrelated", 1, ["failed"]),
        ("told", "wrapped", 143, ["cancelled"]),
        ("told", "cleaning", 143, ["cancelled"]),
        ("awaits_a_thread", None, 143, ["finally", "cancelled"]),
        ("breaks_when_told", None, 143, ["cancelled"]),
        ("leaves_a_thread", None, 143, ["cancelled"]),
    ],
)
def test_sigterm_counts_as_a_cancellation_unless_the_task_makes_something_else_of_it(
    pod: RunnerPod, entrypoint: str, then: str | None, code: int, hooks: list[str]
) -> None:
    process = pod.start(f"tasks:{entrypoint}", {} if then is None else {"then": then})
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    ended = pod.ended(process)
    assert (ended.code, ended.out.split()) == (code, hooks)
    if then in ("wrapped", "cleaning") or entrypoint == "breaks_when_told":
        assert "Traceback" in ended.err


FORKS = """
import os, time
from tidegate import task

@task
def forks():
    child = os.fork()
    if child == 0: os._exit(0)
    print("forked")
    time.sleep(60)

@task
async def forks_in_a_loop():
    import asyncio
    child = os.fork()
    if child == 0: os._exit(0)
    await asyncio.sleep(60)

for each in (forks, forks_in_a_loop):
    each.on_cancel(lambda: print("cancelled"))
"""
SIGNALS_WHEN_IT_FORKS = """
import os, signal
# Registered before the runner's own: it is called between that one and the fork, while SIGTERM is blocked.
os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGTERM))
"""


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
@pytest.mark.parametrize("name", ["forks", "forks_in_a_loop"])
def test_a_sigterm_that_comes_while_the_task_forks_is_not_lost(tmp_path: Path, name: str, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "sitecustomize.py").write_text(SIGNALS_WHEN_IT_FORKS)
    pod = RunnerPod(tmp_path, FORKS, python)
    ended = pod.run(f"tasks:{name}", PYTHONPATH=f"{RUNNER}:{tmp_path}")
    assert (ended.code, ended.result, "cancelled" in ended.out) == (143, "terminated by SIGTERM", True)
    assert "Exception ignored" not in ended.err


ONE_IS_NOT_HEARD = f"""{SIGNALS_WHEN_IT_FORKS}
kill, sent = os.kill, []
def kill_but_the_second(*what):
    # As if it came between the last look at signals and the beginning of a wait.
    sent.append(what)
    if len(sent) != 2: kill(*what)
os.kill = kill_but_the_second
"""


def test_a_sigterm_of_a_fork_comes_until_it_is_heard(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(ONE_IS_NOT_HEARD)
    ended = RunnerPod(tmp_path, FORKS, sys.executable).run("tasks:forks", PYTHONPATH=f"{RUNNER}:{tmp_path}")
    assert (ended.code, ended.result, ended.out.split()) == (143, "terminated by SIGTERM", ["forked", "cancelled"])
