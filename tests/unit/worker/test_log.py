"""The worker's log: one JSON line for each line of a run, in turns, and never waited for."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session, result_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = r"""
import os, sys, time

def speaks():
    print("to out")
    print("to err", file=sys.stderr)
    sys.stdout.write("no end")

def odd():
    os.write(1, b"\xff\xfe broken\n" + "größe €\n".encode() + b'quotes " and \\ and \x00\x1b[0m\n')

def long():
    os.write(1, "ä".encode() * 20_000 + b"\n" + b"\x01" * 9_000 + b"\nshort\n")

def floods(lines: int):
    for number in range(lines):
        os.write(1, b"%07d %b\n" % (number, b"x" * 991))

def fills(begun: str):
    open(begun, "w").close()
    while True: os.write(1, b"x" * 999 + b"\n")

def fails():
    print("x" * 5000)
    raise ValueError("at the end")

def big_pipe():
    import fcntl
    fcntl.fcntl(1, 1031, 1 << 20)
    for number in range(1000): os.write(1, b"%03d %b\n" % (number, b"x" * 995))

def quick(): print("quick"); return 1
"""


def test_each_line_says_whose_it_is(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    ended = session.run("tasks:speaks")
    wait_until(lambda: worker.end_of("h1") is not None, what="the last line")
    mine = [entry for entry in worker.log() if "run" in entry]
    common = {"run": "run-h1", "uid": "uid-h1", "attempt": 1, "handover": "h1"}
    places = [entry.pop("at") for entry in mine]
    lengths = [len(entry["line"]) + 1 for entry in mine[:-1]]
    assert places == [sum(lengths[:number]) for number in range(len(mine))]
    assert sorted(mine[:-1], key=lambda entry: str(entry["line"])) == [
        {**common, "stream": "stdout", "line": "no end"},
        {**common, "stream": "stderr", "line": "to err"},
        {**common, "stream": "stdout", "line": "to out"},
    ]
    assert mine[-1] == {**common, "end": True, "lines": 3}
    assert sorted(ended["output"]) == sorted("to out\nto err\nno end")
    raw = (worker.folder / "log").read_text()
    assert all(line.startswith('{"run": "') for line in raw.splitlines() if '"handover"' in line)


def test_bytes_that_are_no_text_and_signs_of_all_kinds(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.run("tasks:odd")
    assert worker.lines() == ["\ufffd\ufffd broken", "größe €", 'quotes " and \\ and \x00\x1b[0m']


def test_long_lines_come_in_pieces_that_make_the_line(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.run("tasks:long")
    worker.lines()
    whole, current = [], ""
    for entry in worker.log():
        if "stream" in entry and entry.get("handover") == "h1":
            current += entry["line"]
            if not entry.get("more"):
                whole.append(current)
                current = ""
    assert whole == ["ä" * 20_000, "\x01" * 9_000, "short"]
    assert max(map(len, (worker.folder / "log").read_bytes().splitlines(keepends=True))) <= 12 * 1024


def test_the_end_counts_the_lines_and_nothing_of_a_flood_is_lost(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    ended = session.run("tasks:floods", {"lines": 3000})
    assert len(ended["output"].encode()) == 2048
    lines = worker.lines()
    assert [int(line[:7]) for line in lines] == list(range(3000))
    assert worker.end_of("h1") == {**(worker.end_of("h1") or {}), "lines": 3000}


def test_what_a_run_has_left_in_a_pipe_that_it_made_larger_is_not_lost(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.run("tasks:big_pipe")
    assert [int(line[:3]) for line in worker.lines()] == list(range(1000))


def test_a_flooding_run_holds_up_no_other(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:fills", {"begun": str(worker.folder / "begun")}, grace=0)
    wait_until((worker.folder / "begun").exists, what="the flood")
    for number in range(3):
        assert result_of(_quick(session, f"q{number}")) == 1
        assert worker.lines(f"q{number}") == ["quick"]
    session.send("stop", handover="h1", why="Cancelled")
    assert session.ended()["stopped"] == "Cancelled"


def _quick(session: Session, handover: str) -> dict[str, object]:
    session.start("tasks:quick", handover=handover)
    while (message := session.receive())["type"] != "ended":
        pass
    return message


def test_the_output_of_an_outcome_is_its_end(start: Start) -> None:
    _, session = start(tasks=TASKS)
    ended = session.run("tasks:fails")
    assert ended["output"].endswith("ValueError: at the end\n")
    assert len(ended["output"].encode()) == 2048


@pytest.fixture
def unread(leader: FakeLeader, tmp_path: Path) -> Iterator[PoolWorker]:
    """A worker whose log nobody reads, yet."""
    (tmp_path / "tasks.py").write_text(TASKS)
    worker = PoolWorker(tmp_path, leader)
    worker.start(stdout=subprocess.PIPE)
    yield worker
    worker.stop()
    assert worker.process is not None
    assert worker.process.stdout is not None
    worker.process.stdout.close()


def test_a_log_that_nobody_reads_stops_runs_that_write_and_nothing_else(unread: PoolWorker, leader: FakeLeader) -> None:
    session = leader.welcome()
    session.start("tasks:floods", {"lines": 1000}, handover="h1")
    session.receive_only("started")
    for number in range(3):
        assert result_of(_quick(session, f"q{number}")) == 1
    session.send("ping")
    session.receive_only("pong")
    assert unread.process is not None
    assert unread.process.stdout is not None
    os.set_blocking(unread.process.stdout.fileno(), True)
    ends: set[tuple[str, int]] = set()
    while len(ends) < 4:
        entry = json.loads(unread.process.stdout.readline())
        if entry.get("end"):
            ends.add((entry["handover"], entry["lines"]))
    assert ends == {("h1", 1000), ("q0", 1), ("q1", 1), ("q2", 1)}
    assert session.ended()["exitCode"] == 0
