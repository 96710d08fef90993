"""What goes wrong around runs: the worker says so, keeps its slots, and goes on where it can."""

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session, children, result_of, running, text_of

Start = Callable[..., tuple[PoolWorker, Session]]
MakeWorker = Callable[..., PoolWorker]

QUICK = "def quick(): return 1\n"
FORK_FAILS = """
import os
def fork(): raise OSError(11, "no more processes")
os.fork = fork
"""
SPEAKS_FOR_THE_ZYGOTE = """
import os, threading, time
def speak():
    while not os.path.exists("go"): time.sleep(0.01)
    for data in (b'["forked", "child-1", 1, ""]', b"garbage"): os.write(3, data)
threading.Thread(target=speak, daemon=True).start()
"""
ATTACKS = """
import os, signal, time
def quick(): return 1
def signals_the_first():
    for number in signal.valid_signals():
        if number not in (signal.SIGSTOP, signal.SIGCONT): os.kill(1, number)
    os.kill(1, signal.SIGSTOP)
def kills_its_parent():
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    os.kill(os.getppid(), 9)
    time.sleep(600)
"""


def test_a_fork_that_fails_is_a_failure_of_the_run_and_its_slot_is_free(start: Start) -> None:
    worker, session = start(tasks=QUICK + FORK_FAILS, TIDEGATE_POOL_PRELOAD='["tasks"]', TIDEGATE_POOL_SLOTS="1")
    for handover in ("h1", "h2"):
        ended = session.run("tasks:quick", handover=handover)
        assert (ended["exitCode"], ended["ran"]) == (1, None)
        assert text_of(ended) == "the worker can't start the run: can't fork: [Errno 11] no more processes"
        assert worker.lines(handover) == []
        session.send("written", handover=handover)


def test_runs_leave_no_descriptor_in_the_worker_and_no_process(start: Start) -> None:
    worker, session = start(tasks=QUICK)

    def descriptors() -> list[int]:
        (zygote,) = children(worker.pid)
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (worker.pid, zygote)]

    def run(names: range) -> None:
        for number in names:
            session.run("tasks:quick", handover=f"h{number}")
            session.send("written", handover=f"h{number}")
            worker.lines(f"h{number}")

    run(range(3))
    before = descriptors()
    run(range(3, 20))
    wait_until(lambda: descriptors() == before, what="as many descriptors as before")


def test_a_limit_of_descriptors_fails_runs_and_loses_no_slot(start: Start) -> None:
    worker, session = start(tasks=QUICK + "import time\ndef sleeps(): time.sleep(600)\n", TIDEGATE_POOL_SLOTS="20")
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (40, 40))
    for number in range(20):
        session.start("tasks:sleeps", handover=f"h{number}", grace=0)
    failed = session.ended()
    assert failed["exitCode"] == 1
    assert "Too many open files" in text_of(failed)
    for number in range(20):
        session.send("stop", handover=f"h{number}", why="Cancelled")
    outcomes = {failed["handover"], *(session.ended()["handover"] for _ in range(19))}
    assert outcomes == {f"h{number}" for number in range(20)}
    for handover in outcomes:
        session.send("written", handover=handover)
    assert result_of(session.run("tasks:quick", handover="after")) == 1


def test_a_directory_that_cannot_be_made_is_a_failure_of_the_run(start: Start) -> None:
    worker, session = start(tasks=QUICK, TIDEGATE_POOL_SLOTS="1")
    shutil.rmtree(worker.runs)
    ended = session.run("tasks:quick")
    assert (ended["exitCode"], "can't start the run: [Errno 2]" in text_of(ended)) == (1, True)
    worker.runs.mkdir()
    assert result_of(session.run("tasks:quick", handover="h2")) == 1


def test_garbage_from_the_zygote_ends_it_and_the_worker_in_order(start: Start) -> None:
    worker, session = start(tasks=QUICK + SPEAKS_FOR_THE_ZYGOTE, TIDEGATE_POOL_PRELOAD='["tasks"]')
    assert result_of(session.run("tasks:quick")) == 1
    (worker.folder / "go").touch()
    session.receive_only("draining")
    session.send("written", handover="h1")
    assert worker.wait() == 1
    assert any("what it can't say" in str(entry.get("event")) for entry in worker.log())


def test_a_spare_process_that_is_killed_is_replaced(start: Start) -> None:
    worker, session = start(tasks=QUICK)
    (zygote,) = children(worker.pid)
    for number in range(4):
        wait_until(lambda: [len(children(pid)) for pid in children(zygote)] == [1], what="a process that waits")
        (spare,) = children(zygote)
        victim = spare if number % 2 else children(spare)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda pid=victim: not Path(f"/proc/{pid}").exists(), what="its end")  # type: ignore[misc]
        ended = session.run("tasks:quick", handover=f"h{number}")
        assert (ended["exitCode"], ended["signal"]) in ((0, None), (None, 9))
        session.send("written", handover=f"h{number}")
    assert result_of(session.run("tasks:quick", handover="last")) == 1


def test_as_the_first_process_it_obeys_no_signal_of_its_runs(leader: FakeLeader, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a name space of processes needs root")
    (tmp_path / "tasks.py").write_text(ATTACKS)
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    worker = PoolWorker(tmp_path, leader, {"TIDEGATE_POOL_SLOTS": "1"})
    worker.command = (*unshare, *worker.command)
    with running(worker):
        session = leader.welcome()
        assert session.run("tasks:signals_the_first", handover="h1")["exitCode"] == 0
        assert session.run("tasks:kills_its_parent", handover="h2")["signal"] == 9
        for handover in ("h1", "h2"):
            session.send("written", handover=handover)
        assert result_of(session.run("tasks:quick", handover="h3")) == 1
        # The kubelet's comes from outside.
        (first,) = children(worker.pid)
        os.kill(first, signal.SIGTERM)
        session.receive_only("draining")
        session.send("written", handover="h3")
        assert worker.wait() == 0
