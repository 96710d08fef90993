"""Many runs of all kinds beside each other, with leaders that come and go: each hand-over has one outcome, and no slot is lost."""

import random
from collections.abc import Callable

import pytest
from support.servers import wait_until
from support.worker import FakeLeader, Message, PoolWorker, Session, children, result_of

Start = Callable[..., tuple[PoolWorker, Session]]

SLOTS = 6
TASKS = """
import os, signal, subprocess, sys, time

def good(n): return n

def daemon(n):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(600)
        os._exit(0)
    return n

def floods(n):
    for _ in range(300): os.write(1, b"x" * 999 + b"\\n")
    return n

def segfaults(n): os.kill(os.getpid(), 11)

def kills_its_parent(n):
    os.kill(os.getppid(), 9)
    time.sleep(600)

def hangs(n):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

def leaves_files(n):
    os.makedirs("a/b")
    open("a/b/c", "w").close()
    return n

def program(n): return int(subprocess.run(["echo", str(n)], capture_output=True).stdout)

def closes(n):
    os.closerange(0, 10)
    return n
"""
GOOD = ("good", "daemon", "floods", "leaves_files", "program", "closes")
BAD = {"segfaults": 11, "kills_its_parent": 9, "hangs": 9}


class Talk:
    """A leader's side: hands runs over while there are slots, and notes outcomes."""

    def __init__(self, leader: FakeLeader, session: Session, seed: int) -> None:
        self.leader, self.session, self.draw = leader, session, random.Random(seed)  # noqa: S311 - the same steps each time
        self.kinds: dict[str, str] = {}
        self.open: set[str] = set()
        self.outcomes: dict[str, Message] = {}

    def hand_over(self) -> None:
        handover = f"h{len(self.kinds)}"
        self.kinds[handover] = kind = self.draw.choice([*GOOD, *GOOD, *BAD])
        self.open.add(handover)
        number = {"n": len(self.kinds)}
        limits = {"timeout": 0.3, "grace": 0.1} if kind == "hangs" else {}
        self.session.start(f"tasks:{kind}", number, handover=handover, **limits)

    def hear(self, message: Message) -> None:
        if message["type"] == "ended":
            handover = message["handover"]
            assert self.outcomes.setdefault(handover, message)["exitCode"] == message["exitCode"]
            self.open.discard(handover)
            if self.draw.random() < 0.9:
                self.session.send("written", handover=handover)
        else:
            assert message["type"] in ("started", "held"), message

    def change(self) -> None:
        """Another leader. Hand-overs that the worker never had are handed over again under other names."""
        self.session.close()
        self.session = self.leader.accept()
        self.session.welcome()
        held = {message["handover"] for message in self.session.greeting if message["type"] == "held"}
        for message in self.session.greeting:
            self.hear(message)
        for handover in self.open - held:
            del self.kinds[handover]
            self.kinds[f"{handover}-lost"] = "lost"
        self.open &= held
        for handover in self.outcomes:
            self.session.send("written", handover=handover)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_hand_over_has_one_outcome(start: Start, leader: FakeLeader, seed: int) -> None:
    worker, session = start(tasks=TASKS, TIDEGATE_POOL_SLOTS=str(SLOTS))
    talk = Talk(leader, session, seed)
    while len(talk.kinds) < 120:
        while len(talk.open) < SLOTS:
            talk.hand_over()
        if talk.draw.random() < 0.05:
            talk.change()
        else:
            talk.hear(talk.session.receive())
        for handover in [name for name in talk.outcomes if name not in talk.open]:
            talk.session.send("written", handover=handover)
    while talk.open:
        talk.hear(talk.session.receive())
    for handover, kind in talk.kinds.items():
        if kind == "lost":
            continue
        ended = talk.outcomes[handover]
        if kind in BAD:
            assert (ended["exitCode"], ended["signal"]) == (None, BAD[kind]), (kind, ended)
        else:
            assert result_of(ended) == int(handover[1:]) + 1, (kind, ended)
    # All slots are free, and nothing is left of any run.
    for number in range(SLOTS):
        talk.session.start("tasks:good", {"n": number}, handover=f"last{number}")
    assert {talk.session.ended()["handover"] for _ in range(SLOTS)} == {f"last{number}" for number in range(SLOTS)}
    (zygote,) = children(worker.pid)
    wait_until(lambda: len(children(zygote)) == 1, what="no process but the one that waits")
    wait_until(lambda: not list(worker.runs.iterdir()), what="an empty directory of runs")
