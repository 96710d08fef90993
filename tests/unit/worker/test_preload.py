"""A worker that can't begin says why where one looks first, and ends."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session, result_of

MakeWorker = Callable[..., PoolWorker]
Start = Callable[..., tuple[PoolWorker, Session]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nowhere_at_all", "can't import tasks: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise ValueError('no model')", "can't import tasks: ValueError: no model"),
        ("import sys; sys.exit(3)", "can't import tasks: it calls sys.exit(3) when it is imported"),
        ("import os; os._exit(7)", "the process that imports tasks ended with exit code 7"),
        ("import os; os.kill(os.getpid(), 11)", "the process that imports tasks ended by signal SIGSEGV"),
    ],
)
def test_a_module_that_cannot_be_imported_ends_the_worker(make_worker: MakeWorker, code: str, said: str) -> None:
    made = make_worker(tasks=code, TIDEGATE_POOL_PRELOAD='["json", "tasks"]')
    assert made.wait() == 1
    problems = [entry["event"] for entry in made.log() if entry["level"] == "error"]
    assert len(problems) == 1
    assert problems[0].startswith(f"preload failed: {said}")


def test_the_termination_log_has_it_too(make_worker: MakeWorker, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("")
    worker = make_worker(tasks="raise ValueError('no model')", TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert worker.wait() == 1
    assert log.read_text() == "preload failed: can't import tasks: ValueError: no model"
    assert any("Traceback" in str(entry.get("line")) for entry in worker.log())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_POOL_SLOTS", "0"),
        ("TIDEGATE_POOL_SLOTS", "257"),
        ("TIDEGATE_POOL_PRELOAD", "json"),
        ("TIDEGATE_DISPATCH_ADDRESS", "nowhere"),
        ("TIDEGATE_POOL", ""),
    ],
)
def test_a_setting_that_is_wrong_ends_the_worker(make_worker: MakeWorker, name: str, value: str) -> None:
    worker = make_worker(**{name: value})
    assert worker.wait() == 1
    assert [name in entry["event"] for entry in worker.log()] == [True]


def test_a_health_port_that_is_taken_ends_the_worker(make_worker: MakeWorker, tmp_path: Path) -> None:
    (tmp_path / "termination-log").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as other:
        worker = make_worker(TIDEGATE_POOL_PORT=str(other.getsockname()[1]))
        assert worker.wait() == 1
    assert (tmp_path / "termination-log").read_text().startswith("the worker can't start: [Errno 98]")


def test_sigterm_while_modules_are_imported_ends_it(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker(tasks="import time\nprint('here')\ntime.sleep(600)\n", TIDEGATE_POOL_PRELOAD='["tasks"]')
    wait_until(lambda: any("worker starts" in str(entry.get("event")) for entry in worker.log()), what="its start")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_threads_of_a_preloaded_module_are_warned_of(start: Start) -> None:
    tasks = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    worker, session = start(
        tasks=tasks + "def work(): return threading.active_count()\n", TIDEGATE_POOL_PRELOAD='["tasks"]'
    )
    assert result_of(session.run("tasks:work")) == 1
    assert any("started threads" in str(entry.get("event")) for entry in worker.log())
