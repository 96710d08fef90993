"""A run in a worker ends as one in a pod does: exit codes, result, hooks, exit handlers."""

import gzip
from collections.abc import Callable

import pytest
from support.servers import wait_until
from support.worker import PoolWorker, Session, result_of, text_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = """
import atexit, concurrent.futures, gzip, multiprocessing, os, sys, threading, time
from tidegate import AbortRun, RetryAfter, current_run, task

@task
def double(n: int): return {"doubled": 2 * n}

@task
def nothing(): pass

@task
async def coroutine(n: int): return n + 1

@task
def fails(): raise ValueError("no\\nway")

@task
def aborts(): raise AbortRun("hopeless")

@task
def later(): raise RetryAfter(30, "busy")

@task
def leaves(code: int): sys.exit(code)

@task
def cyclic():
    made = []
    made.append(made)
    return made

@task
def unpicklable(): return {"lock": threading.Lock()}

@task
def enormous(size: int): return "x" * size

@task
def works_in_a_child(seconds: float):
    if os.fork() == 0:
        data, end = bytearray(64 * 2**20), time.process_time() + seconds
        while time.process_time() < end: pass
        os._exit(0)
    os.wait()

@task
def who():
    run = current_run()
    return [run.name, run.uid, run.project, run.task, run.queue, run.attempt, run.max_attempts]

@task
def hooked(fail: bool):
    if fail: raise ValueError("failed")
    return 1

hooked.on_start(lambda: print("start"))
hooked.on_success(lambda result: print("success", result))
hooked.on_failure(lambda error: print("failure", error))

@task
def segfaults(): os.kill(os.getpid(), 11)

@task
def odd_result(how: str):
    path = os.environ["TIDEGATE_RESULT_FILE"]
    if how == "pipe": os.mkfifo(path)
    if how == "link": os.symlink("/etc/passwd", path)
    if how == "folder": os.mkdir(path)
    os._exit(3)

def write(path):
    open(path, "w").close()

@task
def leaves_all(folder: str):
    os.chdir(folder)
    global table, packed
    table = open("table.csv", "w")
    table.write("id,name\\n")
    packed = gzip.open("packed.gz", "wt")
    packed.write("packed")
    gate = threading.Event()
    atexit.register(gate.set)
    atexit.register(write, "handler")
    threading.Thread(target=lambda: (time.sleep(0.05), write("thread"))).start()
    concurrent.futures.ThreadPoolExecutor(1).submit(write, "executed")
    multiprocessing.get_context("fork").Process(target=write, args=("forked",)).start()
    return 1

@task
def forks():
    for way in ("exit", "raise", "return"):
        child = os.fork()
        if child == 0:
            if way == "exit": sys.exit("the child leaves")
            if way == "raise": raise AbortRun("the child fails")
            return "of the child"
        os.waitpid(child, 0)
    return "of the parent"
"""


@pytest.fixture
def session(start: Start) -> Session:
    return start(tasks=TASKS)[1]


def test_a_run_gives_its_result_and_says_when_it_started(session: Session) -> None:
    session.start("tasks:double", {"n": 4})
    started, ended = session.receive_only("started"), session.receive_only("ended")
    assert (started["handover"], 0 <= started["age"] < 30) == ("h1", True)
    assert result_of(ended) == {"doubled": 8}
    assert {name: ended[name] for name in ("signal", "stopped", "tooLarge", "output")} == {
        "signal": None,
        "stopped": None,
        "tooLarge": False,
        "output": "",
    }
    assert ended["run"] == {
        "namespace": "team",
        "name": "run-h1",
        "uid": "uid-h1",
        "attempt": 1,
        "queue": "default",
        "key": "",
    }
    assert 0 <= ended["ran"] < 30
    assert 0 <= ended["age"] < 30


def test_a_run_has_the_usage_of_all_its_processes(session: Session) -> None:
    used = session.run("tasks:works_in_a_child", {"seconds": 0.3})["usage"]
    assert 300 <= used["cpuMilliseconds"] < 30_000
    assert used["memoryPeakBytes"] > 64 * 2**20


def test_a_coroutine_and_a_task_without_a_result(session: Session) -> None:
    assert result_of(session.run("tasks:coroutine", {"n": 1})) == 2
    nothing = session.run("tasks:nothing", handover="h2")
    assert (nothing["exitCode"], "result" in nothing) == (0, False)


@pytest.mark.parametrize(
    ("entrypoint", "payload", "code", "text"),
    [
        ("tasks:fails", {}, 1, "ValueError: no way"),
        ("tasks:aborts", {}, 64, "hopeless"),
        ("tasks:later", {}, 65, '{"retryAfterSeconds": 30, "message": "busy"}'),
        ("tasks:leaves", {"code": 7}, 7, ""),
        ("tasks:cyclic", {}, 1, "TypeError: the result is not JSON at [0]: a reference to what it stands in"),
        (
            "tasks:unpicklable",
            {},
            1,
            "TypeError: the result is not JSON at lock: a value of type lock, which JSON doesn't have",
        ),
        ("tasks:odd_result", {"how": "pipe"}, 3, ""),
        ("tasks:odd_result", {"how": "link"}, 3, ""),
        ("tasks:odd_result", {"how": "folder"}, 3, ""),
    ],
)
def test_a_failure_has_its_exit_code_and_message(
    session: Session, entrypoint: str, payload: object, code: int, text: str
) -> None:
    ended = session.run(entrypoint, payload)
    assert (ended["exitCode"], ended["signal"], text_of(ended)) == (code, None, text)
    assert result_of(session.run("tasks:double", {"n": 1}, handover="next")) == {"doubled": 2}


@pytest.mark.parametrize(
    ("entrypoint", "payload", "text"),
    [
        ("tasks:double", {}, "argument 'n' is missing from the payload"),
        ("nowhere:work", {}, "can't import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        ("tasks:missing", {}, "tasks has no missing"),
        ("tasks", {}, "'tasks' is not an entrypoint: it must look like package.module:function"),
    ],
)
def test_a_function_that_cannot_be_called_was_never_started(
    session: Session, entrypoint: str, payload: object, text: str
) -> None:
    session.start(entrypoint, payload)
    ended = session.receive_only("ended")
    assert (ended["exitCode"], text_of(ended), ended["ran"]) == (64, text, None)


def test_a_result_of_the_most_bytes_comes_whole_and_a_larger_one_is_said_to_be(session: Session) -> None:
    most = session.run("tasks:enormous", {"size": 131070})
    assert (len(text_of(most)), most["tooLarge"]) == (131072, False)
    larger = session.run("tasks:enormous", {"size": 131071}, handover="h2")
    assert (larger["exitCode"], larger["tooLarge"], "result" in larger) == (0, True, False)


def test_the_run_knows_who_it_is(session: Session) -> None:
    assert result_of(session.run("tasks:who")) == ["run-h1", "uid-h1", "team", "work", "default", 1, 3]


def test_hooks_run_and_what_they_print_is_in_the_log(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    good = session.run("tasks:hooked", {"fail": False})
    assert (good["output"], worker.lines()) == ("start\nsuccess 1\n", ["start", "success 1"])
    assert session.run("tasks:hooked", {"fail": True}, handover="h2")["exitCode"] == 1
    assert worker.lines("h2")[:2] == ["start", "failure failed"]


def test_a_process_that_ends_by_a_signal(session: Session) -> None:
    ended = session.run("tasks:segfaults")
    assert (ended["exitCode"], ended["signal"], ended["stopped"]) == (None, 11, None)


def test_threads_processes_exit_handlers_and_buffers_end_as_in_any_program(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    folder = worker.folder / "left"
    folder.mkdir()
    ended = session.run("tasks:leaves_all", {"folder": str(folder)})
    assert result_of(ended) == 1, worker.lines()
    assert {file.name for file in folder.iterdir()} >= {"table.csv", "packed.gz", "handler", "thread", "executed"}
    assert {file.name for file in folder.iterdir()} >= {"forked"}
    assert (folder / "table.csv").read_text() == "id,name\n"
    assert gzip.decompress((folder / "packed.gz").read_bytes()) == b"packed"


def test_a_forked_child_that_leaves_the_function_is_not_the_attempt(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    assert result_of(session.run("tasks:forks")) == "of the parent"
    assert "the child leaves" in worker.lines()


def test_runs_go_beside_each_other(start: Start) -> None:
    tasks = """
import os, time
def meet(mine, other):
    open(mine, "w").close()
    while not os.path.exists(other): time.sleep(0.01)
"""
    worker, session = start(tasks=tasks)
    one, two = str(worker.folder / "one"), str(worker.folder / "two")
    session.start("tasks:meet", {"mine": one, "other": two}, handover="h1")
    session.start("tasks:meet", {"mine": two, "other": one}, handover="h2")
    assert {session.ended()["handover"], session.ended()["handover"]} == {"h1", "h2"}


def test_the_directory_is_removed_whatever_is_left_in_it(start: Start) -> None:
    tasks = """
import os
def leave():
    os.makedirs("a/b/c")
    open("a/b/c/file", "w").close()
    os.chmod("a/b", 0o000)
    os.symlink("/etc", "link")
    for _ in range(3000):
        os.mkdir("deep")
        os.chdir("deep")
"""
    worker, session = start(tasks=tasks)
    assert session.run("tasks:leave")["exitCode"] == 0
    wait_until(lambda: not list(worker.runs.iterdir()), what="an empty directory of runs")


def test_what_an_earlier_container_left_is_removed(start: Start, make_worker: Callable[..., PoolWorker]) -> None:
    worker, _ = start()
    worker.stop()
    (worker.runs / "old" / "work" / "deep").mkdir(parents=True)
    (worker.runs / "file").touch()
    worker.start()
    wait_until(lambda: not list(worker.runs.iterdir()), what="an empty directory of runs")
