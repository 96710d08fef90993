"""Workers of pools in memory: they speak the dispatch protocol as the real ones do, run nothing, and forget nothing.

Between worker and leader is a wire for each connection, whose lines a test delivers. A process begins the moment that its worker
reads `start`, or `commit` of what it has prepared.
"""

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from tidegate_api.times import parse_time

Json = dict[str, Any]
RETRY_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 30.0
TERMINATED: Final = 15


def token_of(uid: str) -> str:
    """What stands for the token of a worker pod: one that claims to be, and isn't signed."""
    claims = {"aud": ["tidegate"], "kubernetes.io": {"pod": {"name": "worker", "uid": uid}}}
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", orjson.dumps(claims), b"-"))


class Wire:
    """One connection. Each end may be closed without the other's knowing, and lines on their way may still be read then."""

    def __init__(self) -> None:
        self.to_leader: deque[bytes] = deque()
        self.to_worker: deque[bytes] = deque()
        self.leader_open = self.worker_open = True
        self.opened = False
        """Whether the worker's lines have begun to be read."""

    @property
    def is_over(self) -> bool:
        return not self.leader_open and not self.worker_open

    def close_leader(self) -> None:
        self.leader_open = False
        self.to_leader.clear()

    def close_worker(self) -> None:
        self.worker_open = False
        self.to_worker.clear()


@dataclass(kw_only=True)
class Process:
    """What a worker runs, or has run."""

    handover: str
    run: Json
    began: float
    timeout: float
    stopping: str | None = None
    stop_at: float = 0.0
    ended: float | None = None
    code: int | None = None
    by: str = ""
    """"itself", "container", or why its worker stopped it."""
    kept: bool = True
    """Whether its worker lived until a leader had written the outcome."""

    @property
    def uid(self) -> str:
        uid: str = self.run["uid"]
        return uid

    @property
    def outcome(self) -> Json:
        return {
            "exitCode": self.code if self.by == "itself" else None,
            "signal": None if self.by == "itself" else TERMINATED,
            "stopped": None if self.by == "itself" else self.by,
            "ran": (self.ended or self.began) - self.began,
        }


@dataclass(kw_only=True, eq=False)
class ModelWorker:
    """One container instance of a worker pod."""

    pod: Json
    container: str
    started: float
    started_text: str
    """The same as its node's clock had it."""
    slots: int
    clock: Callable[[], float]
    """No clock that can be set: how long something takes."""
    begins: Callable[["ModelWorker", Process], None]
    """Called when a process begins."""
    breaks: Callable[[str], None]
    """Called with what a leader should not have said."""
    alive: bool = True
    frozen: bool = False
    draining: bool = False
    away: bool = False
    """Whether the network keeps it from connecting."""
    mute: bool = False
    """Whether it says of nothing that it has ended, until it connects again."""
    refuses: bool = False
    prepares: bool = True
    """Whether it takes `prepare`. Those of older images don't."""
    slow: bool = False
    """Whether it says nothing of what it holds, though it is welcome."""
    wire: Wire | None = None
    welcomed: bool = False
    next_try: float = 0.0
    processes: dict[str, Process] = field(default_factory=dict)
    """Those that run, and those whose outcome isn't written."""
    prepared: dict[str, Json] = field(default_factory=dict)
    """What it begins at its commit."""

    @property
    def instance(self) -> str:
        return self.container[:12]

    @property
    def running(self) -> list[Process]:
        return [p for p in self.processes.values() if p.ended is None]

    @property
    def unwritten(self) -> list[Process]:
        return [p for p in self.processes.values() if p.ended is not None]

    # Its connection

    def connect(self) -> Wire | None:
        """Another connection, if it is time for one."""
        now = self.clock()
        if (
            not self.alive
            or self.frozen
            or self.away
            or self.wire is not None
            or now < max(self.next_try, self.started)
        ):
            return None
        self.wire, self.welcomed, self.next_try = Wire(), False, now + RETRY_SECONDS
        self._say(
            "hello",
            protocol=1,
            token=token_of(self.pod["metadata"]["uid"]),
            secret=self.container,
            slots=self.slots,
            draining=self.draining,
            started=parse_time(self.started_text),
            **({"prepares": True} if self.prepares else {}),
        )
        return self.wire

    def disconnect(self) -> None:
        """It closes its end. What it has not read is dropped."""
        if self.wire is not None:
            self.wire.close_worker()
        self.wire, self.welcomed, self.mute = None, False, False
        self.prepared.clear()

    def hear(self, line: bytes) -> None:
        body = orjson.loads(line)
        match body["type"]:
            case "welcome":
                self.welcomed = True
                if not self.slow:
                    self.say_all()
            case "ping":
                self._say("pong")
            case "start":
                self._take(body)
            case "prepare":
                self._prepare(body)
            case "commit":
                prepared = self.prepared.pop(body["handover"], None)
                if prepared is None:
                    self.breaks(f"{body['handover']} was not prepared")
                else:
                    self._take(prepared)
            case "abort":
                self.prepared.pop(body["handover"], None)
            case "stop":
                process = self.processes.get(body["handover"])
                if process is not None and process.ended is None and process.stopping is None:
                    process.stopping, process.stop_at = body["why"], self.clock()
            case "written":
                process = self.processes.get(body["handover"])
                if process is not None and process.ended is None:
                    self.breaks(f"{process.handover} runs, and its worker may forget it")
                self.processes.pop(body["handover"], None)

    # What it runs

    def work(self) -> bool:
        """Clocks of its processes. Says whether one has ended."""
        moved = False
        if self.frozen or not self.alive:
            return False
        for process in self.running:
            if self.clock() >= process.began + process.timeout and process.stopping is None:
                process.stopping, process.stop_at = "Timeout", self.clock()
            if process.stopping is not None and self.clock() >= process.stop_at + GRACE_SECONDS:
                self.end(process, by=process.stopping)
                moved = True
        return moved

    @property
    def wakes_at(self) -> float | None:
        found = [max(self.next_try, self.started)] if self.alive and self.wire is None else []
        found += [p.stop_at + GRACE_SECONDS if p.stopping is not None else p.began + p.timeout for p in self.running]
        later = [at for at in found if at > self.clock()] if not self.frozen and not self.away else []
        return min(later, default=None)

    def end(self, process: Process, *, code: int | None = None, by: str = "itself") -> None:
        if process.stopping is not None and code is None:
            by = process.stopping
        process.ended, process.code, process.by = self.clock(), code, by
        if not self.mute:
            self._report(process)

    def die(self) -> None:
        """The container ends, and all that it ran."""
        for process in self.processes.values():
            process.kept = False
            if process.ended is None:
                process.ended, process.by = self.clock(), "container"
        self.alive = False
        self.processes.clear()
        self.disconnect()

    def say_all(self) -> None:
        """What it holds, and that this is all."""
        self.slow = False
        for process in list(self.processes.values()):
            self._report(process)
        self._say("ready")

    def drain(self) -> None:
        self.draining = True
        if self.welcomed:
            self._say("draining")

    def report_again(self) -> None:
        for process in self.unwritten:
            self._report(process)

    def _prepare(self, body: Json) -> None:
        if not self.prepares:
            self.breaks(f"{body['handover']} was to be prepared by a worker that can't")
        if body["handover"] in self.prepared:
            self.breaks(f"{body['handover']} was prepared twice")
        if not self.draining and len(self.running) + len(self.prepared) >= self.slots:
            self.breaks(f"{body['handover']} was prepared beyond its worker's slots")
        self.prepared[body["handover"]] = body

    def _take(self, body: Json) -> None:
        problem = None
        if body["handover"] in self.processes:
            self.breaks(f"{body['handover']} was handed over twice")
            problem = "this hand-over is known"
        elif self.draining:
            problem = "the worker is draining"
        elif self.refuses:
            problem, self.refuses = "a file can't be made", False
        elif len(self.running) >= self.slots:
            self.breaks(f"{body['handover']} is more than its worker has slots")
            problem = "no slot is free"
        elif len(self.processes) >= 2 * self.slots:
            problem = "too many outcomes are not written"
        if problem is not None:
            self._say("refused", handover=body["handover"], message=problem)
            return
        process = Process(
            handover=body["handover"],
            run=body["run"],
            began=self.clock(),
            timeout=body["timeout"] or float("inf"),
        )
        self.begins(self, process)
        self.processes[process.handover] = process
        self._say("started", handover=process.handover, age=0.0)

    def _report(self, process: Process) -> None:
        if process.ended is None:
            self._say("held", handover=process.handover, run=process.run)
        else:
            age = self.clock() - process.ended
            self._say("ended", handover=process.handover, run=process.run, age=age, **process.outcome)

    def _say(self, kind: str, **fields: object) -> None:
        """As long as it is welcome. A worker that is frozen says nothing."""
        if self.wire is not None and (self.welcomed or kind == "hello") and not self.frozen:
            self.wire.to_leader.append(orjson.dumps({"type": kind, **fields}) + b"\n")

    # What its node reports of it

    def container_status(self) -> Json:
        ident = f"containerd://{self.container}"
        if not self.alive:
            state: Json = {"terminated": {"containerID": ident, "exitCode": 137, "reason": "Error"}}
        else:
            state = {"running": {"startedAt": self.started_text}}
        return {"name": "worker", "containerID": ident, "state": state}
