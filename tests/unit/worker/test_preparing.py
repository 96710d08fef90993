"""A run that is prepared: all is ready for it, and nothing of it runs before its commit."""

import os
from collections.abc import Callable
from pathlib import Path

from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session, children, result_of, start_message

Start = Callable[..., tuple[PoolWorker, Session]]
TASKS = """
import os
def quick(): return 1
def touch(path):
    open(path, "w").close()
    return "touched"
"""
IMPORTED = "import pathlib; pathlib.Path(__file__).with_name('imported').touch()\ndef quick(): return 2\n"


def prepare(session: Session, entrypoint: str, payload: object = None, *, handover: str = "h1") -> None:
    session.send("prepare", **start_message(entrypoint, payload, handover=handover))


def answers(session: Session) -> None:
    """Whether all that was sent has been read."""
    session.send("ping")
    session.receive_only("pong")


def test_the_worker_says_that_it_can(make_worker: Callable[..., PoolWorker], leader: FakeLeader) -> None:
    make_worker()
    assert leader.accept().welcome()["prepares"] is True


def test_nothing_of_it_runs_before_its_commit(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    (worker.folder / "other.py").write_text(IMPORTED)
    prepare(session, "other:quick")
    wait_until(lambda: (worker.runs / "h1/payload.json").exists(), what="its directory")
    # Another goes through all that it would have to go through.
    assert result_of(session.run("tasks:quick", handover="h2")) == 1
    assert not (worker.folder / "imported").exists()
    session.send("commit", handover="h1")
    assert session.receive_only("started")["handover"] == "h1"
    assert result_of(session.ended()) == 2


def test_what_is_dropped_frees_its_slot_and_leaves_nothing(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    assert result_of(session.run("tasks:quick", handover="h0")) == 1
    session.send("written", handover="h0")
    mark = worker.folder / "mark"
    for number in range(5):
        prepare(session, "tasks:touch", {"path": str(mark)}, handover=f"h{number}")
        session.send("abort", handover=f"h{number}")
        session.send("commit", handover=f"h{number}")
        assert session.receive_only("refused")["message"] == "it was not prepared"
    assert result_of(session.run("tasks:quick", handover="last")) == 1
    assert not mark.exists()
    wait_until(lambda: list(worker.runs.iterdir()) == [], what="no directory")
    (zygote,) = children(worker.pid)
    wait_until(lambda: len(children(zygote)) == 1, what="the spare process alone")
    assert [line for line in worker.log() if line.get("handover") == "h0" and line.get("end")][1:] == []


def test_it_goes_with_its_connection(start: Start, leader: FakeLeader) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    mark = worker.folder / "mark"
    prepare(session, "tasks:touch", {"path": str(mark)})
    answers(session)
    session.close()
    again = leader.accept()
    again.welcome()
    assert again.greeting == []
    again.send("commit", handover="h1")
    assert again.receive_only("refused")["handover"] == "h1"
    assert result_of(again.run("tasks:touch", {"path": str(mark)}, handover="h2")) == "touched"


def test_what_cannot_be_prepared_is_refused_at_its_commit(start: Start) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS="1")
    bad = {**start_message("tasks:quick", {}, handover="bad"), "payload": []}
    session.send("prepare", **bad)
    prepare(session, "tasks:quick", handover="first")
    prepare(session, "tasks:quick", handover="second")
    answers(session)
    session.send("commit", handover="bad")
    assert "payload" in session.receive_only("refused")["message"]
    session.send("commit", handover="second")
    assert session.receive_only("refused")["message"] == "no slot is free"
    session.send("commit", handover="first")
    assert result_of(session.ended()) == 1
    Path(worker.runs).rename(worker.folder / "moved")
    session.send("written", handover="first")
    prepare(session, "tasks:quick", handover="nowhere")
    answers(session)
    session.send("commit", handover="nowhere")
    ended = session.ended()
    assert (ended["handover"], ended["exitCode"]) == ("nowhere", 1)


def test_one_whose_process_is_killed_meanwhile_ends_by_that(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    (zygote,) = children(worker.pid)
    wait_until(lambda: len(children(zygote)) == 1, what="a spare process")
    used = children(zygote)
    assert result_of(session.run("tasks:quick", handover="h0")) == 1
    wait_until(lambda: len(children(zygote)) == 1 and children(zygote) != used, what="another, and none but it")
    (subreaper,) = children(zygote)
    prepare(session, "tasks:quick")
    answers(session)
    os.kill(subreaper, 9)
    session.send("commit", handover="h1")
    assert session.ended()["signal"] == 9
