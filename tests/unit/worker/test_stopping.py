"""Timeouts, deadlines and stops: SIGTERM, the grace period, SIGKILL, and why."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import wait_until
from support.worker import PoolWorker, Session, text_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = """
import os, signal, sys, time
from tidegate import task

def touch(path):
    open(path, "w").close()

@task
def sleeps(begun: str = ""):
    if begun: touch(begun)
    try:
        time.sleep(60)
    finally:
        print("finally")

@sleeps.on_cancel
def undo(): print("undone")

@task
def ignores(begun: str = ""):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if begun: touch(begun)
    while True: time.sleep(60)

@task
def stands_still():
    os.kill(os.getpid(), signal.SIGSTOP)

@task
def leaves_by_itself(begun: str):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    touch(begun)
    time.sleep(60)
"""
SLOW = """
import time
time.sleep(60)
def work(): pass
"""


def begun(path: Path) -> None:
    wait_until(path.exists, what="the function's start")


def test_a_stop_lets_the_run_clean_up(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:sleeps", {"begun": str(worker.folder / "begun")})
    begun(worker.folder / "begun")
    session.send("stop", handover="h1", why="Cancelled")
    ended = session.ended()
    assert (ended["exitCode"], ended["signal"], ended["stopped"]) == (143, None, "Cancelled")
    assert (text_of(ended), worker.lines()[:2]) == ("terminated by SIGTERM", ["finally", "undone"])


def test_the_first_reason_counts(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:ignores", {"begun": str(worker.folder / "begun")}, grace=0.2)
    begun(worker.folder / "begun")
    session.send("stop", handover="h1", why="Deleted")
    session.send("stop", handover="h1", why="Cancelled")
    ended = session.ended()
    assert (ended["signal"], ended["stopped"]) == (9, "Deleted")


def test_a_run_that_ignores_sigterm_is_killed_after_its_grace_period(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:ignores", {"begun": str(worker.folder / "begun")}, grace=0.3)
    begun(worker.folder / "begun")
    session.send("stop", handover="h1", why="Cancelled")
    ended = session.ended()
    assert (ended["exitCode"], ended["signal"], ended["stopped"]) == (None, 9, "Cancelled")
    assert ended["ran"] >= 0.3


def test_what_a_run_does_with_a_stop_is_its_own_end(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:leaves_by_itself", {"begun": str(worker.folder / "begun")})
    begun(worker.folder / "begun")
    session.send("stop", handover="h1", why="Cancelled")
    ended = session.ended()
    assert (ended["exitCode"], ended["stopped"]) == (9, "Cancelled")


def test_a_timeout_counts_from_the_functions_start(start: Start) -> None:
    _, session = start(tasks=TASKS)
    session.start("tasks:sleeps", timeout=0.3)
    session.receive_only("started")
    ended = session.ended()
    assert (ended["exitCode"], ended["stopped"]) == (143, "Timeout")
    assert ended["ran"] >= 0.3


def test_a_module_that_takes_too_long_is_a_start_timeout(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    (worker.folder / "slow.py").write_text(SLOW)
    session.start("slow:work", startTimeout=0.5, timeout=0.1)
    ended = session.receive_only("ended")
    assert (ended["stopped"], ended["ran"]) == ("StartTimeout", None)


def test_a_deadline_counts_from_the_receipt(start: Start) -> None:
    _, session = start(tasks=TASKS)
    ended = session.run("tasks:sleeps", deadline=0.5, timeout=30)
    assert ended["stopped"] == "DeadlineExceeded"


def test_a_deadline_that_has_passed_stops_at_once(start: Start) -> None:
    _, session = start(tasks=TASKS)
    assert session.run("tasks:sleeps", deadline=0, grace=0)["stopped"] == "DeadlineExceeded"


def test_a_run_that_stands_still_is_killed(start: Start) -> None:
    _, session = start(tasks=TASKS)
    session.start("tasks:stands_still", timeout=0.3, grace=0.3)
    session.receive_only("started")
    ended = session.ended()
    assert (ended["signal"], ended["stopped"]) == (9, "Timeout")


def test_a_stop_of_what_does_not_run_does_nothing(start: Start) -> None:
    _, session = start(tasks=TASKS)
    session.send("stop", handover="other", why="Cancelled")
    session.send("written", handover="other")
    session.send("token", handover="other", token="t")
    session.send("ping")
    session.receive_only("pong")


@pytest.mark.parametrize("why", ["SIGTERM", "drain"])
def test_a_worker_that_drains_takes_no_more(start: Start, why: str) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:sleeps", {"begun": str(worker.folder / "begun")})
    begun(worker.folder / "begun")
    session.receive_only("started")
    if why == "SIGTERM":
        worker.signal(signal.SIGTERM)
        session.receive_only("draining")
    else:
        session.send("drain")
    session.start("tasks:sleeps", handover="h2")
    refused = session.receive_only("refused")
    assert (refused["handover"], refused["message"]) == ("h2", "the worker is draining")
    session.send("stop", handover="h1", why="Cancelled")
    assert session.ended()["stopped"] == "Cancelled"


def test_a_worker_that_is_to_go_lets_runs_end_has_outcomes_stored_and_ends(start: Start) -> None:
    worker, session = start(tasks=TASKS + "\ndef until(path):\n    while not os.path.exists(path): time.sleep(0.01)\n")
    session.start("tasks:until", {"path": str(worker.folder / "go")})
    session.receive_only("started")
    worker.signal(signal.SIGTERM)
    session.receive_only("draining")
    (worker.folder / "go").touch()
    ended = session.ended()
    assert (ended["exitCode"], ended["stopped"]) == (0, None)
    assert worker.process is not None
    assert worker.process.poll() is None
    session.send("written", handover="h1")
    assert worker.wait() == 0
    assert worker.end_of("h1") is not None


def test_runs_that_do_not_end_are_stopped_after_the_drain_time(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_DRAIN_SECONDS="1")
    session.start("tasks:sleeps")
    session.start("tasks:ignores", handover="h2", grace=0.2)
    for _ in range(2):
        session.receive_only("started")
    worker.signal(signal.SIGTERM)
    session.receive_only("draining")
    outcomes = {ended["handover"]: ended for ended in (session.ended(), session.ended())}
    assert [outcomes[name]["stopped"] for name in ("h1", "h2")] == ["Drained", "Drained"]
    assert (outcomes["h1"]["exitCode"], outcomes["h2"]["signal"]) == (143, 9)
    for handover in outcomes:
        session.send("written", handover=handover)
    assert worker.wait() == 0


def test_an_idle_worker_ends_at_once(start: Start) -> None:
    worker, session = start()
    worker.signal(signal.SIGTERM)
    session.receive_only("draining")
    assert worker.wait() == 0
    with pytest.raises(EOFError):
        session.receive()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)
