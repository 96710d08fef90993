"""What a run has of its own, and what it has not of the worker: environment, descriptors, signals, memory, directories."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.servers import wait_until
from support.worker import PoolWorker, Session, result_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = """
import os, random, resource, signal, subprocess, sys, tempfile, threading, time
from tidegate import task

def environment(): return dict(os.environ)

def environment_of_a_program():
    return subprocess.run(["env"], capture_output=True, text=True).stdout

def place():
    return {
        "cwd": os.getcwd(), "tmp": tempfile.gettempdir(), "files": os.listdir("."), "umask": oct(os.umask(0)),
        "stdin": sys.stdin.read(), "argv": sys.argv[1:], "leads": os.getsid(0) == os.getpid() == os.getpgid(0),
        "writable": [open(os.path.join(each, "x"), "w").close() for each in (os.getcwd(), tempfile.gettempdir())],
    }

def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # of the listing
    return found

def signals():
    handlers = {n: str(signal.getsignal(n)) for n in signal.valid_signals() if n != signal.SIGTERM}
    return {"handlers": handlers, "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))}

def draw(): return random.random()

def eat(size: int): return len(bytearray(size))

def read_token(old: str):
    path = os.environ["TIDEGATE_TOKEN_FILE"]
    print("here", flush=True)
    while open(path).read() == old: time.sleep(0.01)
    return [open(path).read(), oct(os.stat(path).st_mode & 0o777)]

def show(name: str): return os.environ.get(name)
"""


def test_a_runs_environment_is_the_pools_the_tasks_and_tidegates(start: Start) -> None:
    worker, session = start(
        tasks=TASKS, SHARED="pool", OF_POOL="yes", TIDEGATE_API_URL="http://web", TIDEGATE_TOKEN_FILE="/not/this"
    )
    found = result_of(
        session.run(
            "tasks:environment",
            env={"SHARED": "task $(OF_POOL)", "TIDEGATE_RUN": "another", "WHO": "$(TIDEGATE_RUN) $$(X) $(Y)"},
            token="run-token",
            timeout=600,
        )
    )
    directory = f"{worker.runs}/h1"
    own = {name: value for name, value in found.items() if name.startswith("TIDEGATE_")}
    assert own == {
        "TIDEGATE_RUN": "run-h1",
        "TIDEGATE_RUN_UID": "uid-h1",
        "TIDEGATE_NAMESPACE": "team",
        "TIDEGATE_TASK": "work",
        "TIDEGATE_ATTEMPT": "1",
        "TIDEGATE_MAX_ATTEMPTS": "3",
        "TIDEGATE_QUEUE": "default",
        "TIDEGATE_TIMEOUT_SECONDS": "600",
        "TIDEGATE_PAYLOAD_FILE": f"{directory}/payload.json",
        "TIDEGATE_RESULT_FILE": f"{directory}/result",
        "TIDEGATE_RESULT_MAX_BYTES": "131072",
        "TIDEGATE_API_URL": "http://web",
        "TIDEGATE_TOKEN_FILE": f"{directory}/token",
        "TIDEGATE_POOL": "warm",
    }
    assert (found["SHARED"], found["WHO"], found["TMPDIR"]) == (
        "task yes",
        "run-h1 $(X) $(Y)",
        f"{directory}/tmp",
    )


def test_nothing_of_a_runs_environment_is_left_for_the_next(start: Start) -> None:
    _, session = start(tasks=TASKS)
    assert result_of(session.run("tasks:show", {"name": "MINE"}, env={"MINE": "1"})) == "1"
    found = result_of(session.run("tasks:environment", handover="h2"))
    assert "MINE" not in found
    assert "TIDEGATE_TOKEN_FILE" not in found
    assert "TIDEGATE_API_URL" not in found


def test_programs_that_a_run_starts_get_its_environment(start: Start) -> None:
    _, session = start(tasks=TASKS)
    found = result_of(session.run("tasks:environment_of_a_program", env={"MINE": "1"}))
    assert "MINE=1\n" in found
    assert "DISPATCH" not in found
    assert "pod-token" not in found


def test_the_worker_shows_nothing_of_its_own_in_proc(start: Start) -> None:
    worker, session = start(
        tasks="import os\ndef zygotes_environment():\n    return open('/proc/self/environ').read()\n"
    )
    assert "DISPATCH" not in result_of(session.run("tasks:zygotes_environment"))
    # What the kernel gives to root alone belongs to a process that may not be read.
    assert Path(f"/proc/{worker.pid}/environ").stat().st_uid == 0


def test_each_run_has_a_place_of_its_own(start: Start) -> None:
    worker, session = start(tasks=TASKS + "\ntempfile.gettempdir()\n", TIDEGATE_POOL_PRELOAD='["tasks"]')
    found = [result_of(session.run("tasks:place", handover=handover)) for handover in ("h1", "h2")]
    for handover, place in zip(("h1", "h2"), found, strict=True):
        directory = f"{worker.runs}/{handover}"
        assert (place["cwd"], place["tmp"], place["files"]) == (f"{directory}/work", f"{directory}/tmp", [])
        assert (place["umask"], place["stdin"], place["argv"], place["leads"]) == ("0o22", "", ["tasks:place"], True)


def test_a_run_has_its_three_descriptors_and_no_other(start: Start) -> None:
    # With a file that a preloaded module holds open.
    worker, session = start(tasks=TASKS + "\nheld = open('/etc/hosts')\n", TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert worker.pid
    found = result_of(session.run("tasks:descriptors"))
    assert set(found) == {"0", "1", "2"}
    assert found["0"] == "/dev/null"
    assert found["1"].startswith("pipe:")
    assert found["2"].startswith("pipe:")


def test_signals_are_as_python_has_them_whatever_a_preloaded_module_did(start: Start) -> None:
    tasks = TASKS + "\nsignal.signal(signal.SIGUSR1, lambda *_: None)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    _, session = start(tasks=tasks, TIDEGATE_POOL_PRELOAD='["tasks"]')
    found = result_of(session.run("tasks:signals"))
    code = TASKS.replace("from tidegate import task", "") + "\nimport json; print(json.dumps(signals()))"
    # Started in the background of a shell, the tests themselves ignore SIGINT and SIGQUIT, which would be inherited.
    default = "import os, signal, sys; [signal.signal(n, signal.SIG_DFL) for n in (2, 3)]; os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", default, sys.executable, "-c", code]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found == json.loads(fresh)


def test_runs_draw_different_random_numbers(start: Start) -> None:
    tasks = TASKS + "\nrandom.seed(7)\n"
    _, session = start(tasks=tasks, TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert len({result_of(session.run("tasks:draw", handover=f"h{number}")) for number in range(3)}) == 3


def test_numpy_gets_another_seed_too(start: Start) -> None:
    stub = "import itertools, os, random\nstate = random.Random(7)\ndef seed(): state.seed(os.urandom(8))\n"
    tasks = (
        TASKS
        + f"\nimport sys, types\nsys.modules['numpy.random'] = numpy = types.ModuleType('numpy.random')\nexec({stub!r}, numpy.__dict__)\ndef numpys(): return numpy.state.random()\n"
    )
    _, session = start(tasks=tasks, TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert len({result_of(session.run("tasks:numpys", handover=f"h{number}")) for number in range(3)}) == 3


def test_a_run_that_takes_more_memory_than_it_may_gets_a_memory_error(start: Start) -> None:
    _, session = start(tasks=TASKS, TIDEGATE_POOL_MEMORY_PER_RUN=str(64 * 1024 * 1024))
    assert result_of(session.run("tasks:eat", {"size": 32 * 1024 * 1024})) == 32 * 1024 * 1024
    ended = session.run("tasks:eat", {"size": 128 * 1024 * 1024}, handover="h2")
    assert (ended["exitCode"], "MemoryError" in ended["output"]) == (1, True)


def test_a_runs_token_is_renewed_in_its_file(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_API_URL="http://127.0.0.1:9")
    session.start("tasks:read_token", {"old": "first"}, token="first")
    wait_until(lambda: any(entry.get("line") == "here" for entry in worker.log()), what="the function's start")
    session.send("token", handover="h1", token="second")
    assert result_of(session.ended()) == ["second", "0o600"]


def test_preloaded_modules_are_shared_and_not_imported_again(start: Start) -> None:
    tasks = "import os\nprint('imported')\npid = os.getpid()\ndef imported_here(): return pid == os.getpid()\n"
    worker, session = start(tasks=tasks, TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert result_of(session.run("tasks:imported_here")) is False
    assert worker.lines() == []
    assert [entry["line"] for entry in worker.log() if entry.get("event") == "preload"] == ["imported"]


def test_exit_handlers_of_preloaded_modules_are_not_run_by_runs(start: Start) -> None:
    tasks = """
import atexit, tempfile, weakref
shared = tempfile.TemporaryDirectory()
atexit.register(print, "of the zygote")
class Thing: pass
thing = Thing()
def work():
    atexit.register(print, "of the run")
    weakref.finalize(thing, print, "finalized")
    return open(shared.name + "/x", "w").close()
"""
    worker, session = start(tasks=tasks, TIDEGATE_POOL_PRELOAD='["tasks"]')
    for handover in ("h1", "h2"):
        assert session.run("tasks:work", handover=handover)["exitCode"] == 0, worker.log()
        assert sorted(worker.lines(handover)) == ["finalized", "of the run"]
