"""What a run starts ends with it, however it hides; and a run that turns against the worker's processes ends as a run."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.servers import wait_until
from support.worker import PoolWorker, Session, children, result_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = """
import os, signal, subprocess, sys, time

def touch(path): open(path, "w").close()

def daemon(path, again=0):
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
    with open(path, "a") as file: file.write(f"{os.getpid()}\\n")
    while again:
        # Each forks the next and ends, in a session of its own.
        if os.fork(): os._exit(0)
        os.setsid()
    time.sleep(600)

def daemonises(path: str, again: int = 0):
    daemon(path, again)
    while not os.path.exists(path): time.sleep(0.01)

def leaves_a_program(path: str):
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with open(path, "w") as file: file.write(str(process.pid))

def leaves_a_tree(path: str):
    with open(path, "a") as file:
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                for _ in range(3):
                    if os.fork() == 0:
                        file.write(f"{os.getpid()}\\n")
                        file.flush()
                        time.sleep(600)
                time.sleep(600)
    while len(open(path).read().split()) < 9: time.sleep(0.01)

def kills_its_parent(path: str, signal_number: int):
    daemon(path)
    while not os.path.exists(path): time.sleep(0.01)
    os.kill(os.getppid(), signal_number)
    time.sleep(600)

def zygote():
    return int(open(f"/proc/{os.getppid()}/stat").read().rsplit(")")[1].split()[1])

def kills_the_zygote(signal_number: int):
    os.kill(zygote(), signal_number)
    return "survived"

def closes_its_streams():
    for number in (0, 1, 2): os.close(number)
    for _ in range(100): open("/dev/null")
    return 1

def sleeps(begun):
    touch(begun)
    time.sleep(600)

def quick(): return 1
"""


def gone(path: Path) -> bool:
    """Whether no process of those in a file is alive."""
    return not any(_lives(int(pid)) for pid in path.read_text().split())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_a_daemon_is_gone_when_the_end_is_reported(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    for number, entrypoint in enumerate(("daemonises", "leaves_a_program", "leaves_a_tree")):
        path = worker.folder / entrypoint
        ended = session.run(f"tasks:{entrypoint}", {"path": str(path)}, handover=f"h{number}")
        assert (ended["exitCode"], gone(path)) == (0, True)


def test_a_daemon_that_forks_itself_on_and_on_is_caught(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    path = worker.folder / "pids"
    assert session.run("tasks:daemonises", {"path": str(path), "again": 1})["exitCode"] == 0
    assert result_of(session.run("tasks:quick", handover="h2")) == 1
    # Nothing is left below the worker but the zygote, a subreaper and a process that wait for the next run.
    wait_until(lambda: shape(worker.pid) == [[[[]]]], what="the end of all runs")


def shape(pid: int) -> list[Any]:
    """The processes below one, as lists in lists."""
    return [shape(child) for child in children(pid)]


def test_a_stopped_run_takes_its_daemon_along(start: Start) -> None:
    worker, session = start(tasks=TASKS + "\ndef both(path):\n    daemon(path)\n    time.sleep(600)\n")
    path = worker.folder / "pids"
    session.start("tasks:both", {"path": str(path)}, grace=0.2)
    wait_until(path.exists, what="the daemon")
    session.send("stop", handover="h1", why="Cancelled")
    assert session.ended()["stopped"] == "Cancelled"
    assert gone(path)


def test_a_run_that_kills_its_parent_ends_by_sigkill_and_leaves_nothing(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    path = worker.folder / "pids"
    ended = session.run("tasks:kills_its_parent", {"path": str(path), "signal_number": 9})
    assert (ended["exitCode"], ended["signal"], ended["stopped"], gone(path)) == (None, 9, None, True)
    assert result_of(session.run("tasks:quick", handover="h2")) == 1


def test_a_run_that_stops_its_parent_is_ended_by_its_timeout(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    path = worker.folder / "pids"
    payload = {"path": str(path), "signal_number": int(signal.SIGSTOP)}
    ended = session.run("tasks:kills_its_parent", payload, timeout=0.5, grace=0.1)
    assert (ended["signal"], ended["stopped"], gone(path)) == (9, "Timeout", True)
    assert result_of(session.run("tasks:quick", handover="h2")) == 1


def test_other_signals_do_nothing_to_a_runs_parent(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    payload = {"path": str(worker.folder / "pids"), "signal_number": int(signal.SIGTERM)}
    session.start("tasks:kills_its_parent", payload)
    session.receive_only("started")
    wait_until((worker.folder / "pids").exists, what="the function to be at work")
    session.send("stop", handover="h1", why="Cancelled")
    assert session.ended()["exitCode"] == 143


def test_a_worker_without_its_zygote_lets_its_runs_end_and_ends_with_an_error(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:sleeps", {"begun": str(worker.folder / "begun")}, handover="h1", grace=1)
    wait_until((worker.folder / "begun").exists, what="the other run")
    session.start("tasks:kills_the_zygote", {"signal_number": 9}, handover="h2")
    seen = [session.receive() for _ in range(4)]
    assert sorted(message["type"] for message in seen) == ["draining", "ended", "started", "started"]
    assert [result_of(message) for message in seen if message["type"] == "ended"] == ["survived"]
    session.start("tasks:quick", handover="h3")
    assert session.receive_only("refused")["handover"] == "h3"
    session.send("stop", handover="h1", why="Cancelled")
    assert session.ended()["stopped"] == "Cancelled"
    for handover in ("h1", "h2"):
        session.send("written", handover=handover)
    assert worker.wait() == 1


def test_a_run_may_close_its_streams(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    assert result_of(session.run("tasks:closes_its_streams")) == 1
    assert worker.lines() == []


def test_all_runs_end_with_the_worker(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:sleeps", {"begun": str(worker.folder / "begun")}, handover="h1")
    wait_until((worker.folder / "begun").exists, what="the run")
    zygote = children(worker.pid)[0]
    below = children(zygote)
    worker.signal(signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not any(_lives(pid) for pid in (zygote, *below)), what="the end of all processes")
