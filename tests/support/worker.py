"""A worker of a pool as a process, and a leader in the test that it connects to."""

import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from support.environment import coverage_variables
from support.runner import RUNNER
from support.servers import free_port, wait_until

SECONDS = 30.0
PING_SECONDS = 60.0
"""No test waits that long: the leader of a test doesn't have to ping."""
SERVER_NAME = "dispatch.test"

Message = dict[str, Any]


@dataclass(frozen=True)
class Trust:
    """The files of an authority and of a leader's certificate."""

    ca: Path
    certificate: Path
    key: Path


class Session:
    """A connection of a worker, seen from the leader."""

    def __init__(self, raw: ssl.SSLSocket) -> None:
        self._raw = raw
        self._raw.settimeout(SECONDS)
        self._rest = b""
        self.greeting: list[Message] = []
        """What came between the welcome and `ready`."""

    def send(self, kind: str, **fields: object) -> None:
        self.send_raw(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        self._raw.sendall(data)

    def receive(self) -> Message:
        while b"\n" not in self._rest:
            data = self._raw.recv(65536)
            if not data:
                raise EOFError("the worker has closed the connection")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        message: Message = json.loads(line)
        return message

    def receive_only(self, kind: str) -> Message:
        message = self.receive()
        assert message["type"] == kind, message
        return message

    def welcome(self, ping_seconds: float = PING_SECONDS) -> Message:
        """Take the worker; its hello."""
        hello = self.receive_only("hello")
        self.send("welcome", pingSeconds=ping_seconds)
        while (message := self.receive())["type"] != "ready":
            self.greeting.append(message)
        return hello

    def start(self, entrypoint: str, payload: object = None, *, handover: str = "h1", **fields: object) -> None:
        """Hand a run over."""
        self.send("start", **start_message(entrypoint, payload, handover=handover, **fields))

    def run(self, entrypoint: str, payload: object = None, *, handover: str = "h1", **fields: object) -> Message:
        """Hand a run over, and have it end."""
        self.start(entrypoint, payload, handover=handover, **fields)
        return self.ended()

    def ended(self) -> Message:
        """The next outcome."""
        while (message := self.receive())["type"] != "ended":
            assert message["type"] in ("started", "pong"), message
        return message

    def is_closed(self) -> bool:
        """Whether the worker closes the connection: waits for it."""
        with suppress(OSError):
            while self._raw.recv(65536):
                pass
        return True

    def close(self) -> None:
        self._raw.close()


def start_message(entrypoint: str, payload: object, *, handover: str, **fields: object) -> Message:
    run = {"namespace": "team", "name": f"run-{handover}", "uid": f"uid-{handover}", "attempt": 1}
    return {
        "handover": handover,
        "run": {**run, "queue": "default", "key": ""},
        "task": "work",
        "entrypoint": entrypoint,
        "maxAttempts": 3,
        "env": {},
        "payload": {} if payload is None else payload,
        "timeout": 60,
        "startTimeout": 60,
        "deadline": None,
        "grace": 30,
        "token": None,
        "resultMaxBytes": 131072,
        **fields,
    }


def result_of(ended: Message) -> Any:
    """The result of a run that succeeded."""
    assert ended["exitCode"] == 0, ended
    return json.loads(text_of(ended)) if "result" in ended else None


def text_of(ended: Message) -> str:
    """What the result file had."""
    return base64.b64decode(ended.get("result", "")).decode()


def children(pid: int) -> list[int]:
    """The processes directly below one that are alive."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")")[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] not in ("Z", "X"):
                found.append(int(folder.name))
    return found


class FakeLeader:
    """Listens as the leader does; the test answers."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(trust.certificate, trust.key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(SECONDS)
        self.sessions: list[Session] = []

    @property
    def port(self) -> int:
        port: int = self._server.getsockname()[1]
        return port

    def accept_raw(self) -> socket.socket:
        """The next connection, before TLS."""
        connection, _ = self._server.accept()
        connection.settimeout(SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def accept(self) -> Session:
        """The next connection that gets through the handshake."""
        session = Session(self.wrap(self.accept_raw()))
        self.sessions.append(session)
        return session

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """The handshake."""
        return self._context.wrap_socket(connection, server_side=True)

    def welcome(self) -> Session:
        """The next connection, taken."""
        session = self.accept()
        session.welcome()
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self.sessions:
            session.close()
        self._server.close()


@dataclass
class PoolWorker:
    """A worker that a test starts."""

    folder: Path
    leader: FakeLeader
    variables: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable,)
    health_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            **coverage_variables(),
            "PYTHONPATH": str(RUNNER),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TIDEGATE_DISPATCH_ADDRESS": f"127.0.0.1:{self.leader.port}",
            "TIDEGATE_DISPATCH_SERVER_NAME": SERVER_NAME,
            "TIDEGATE_DISPATCH_CA_FILE": str(self.leader.trust.ca),
            "TIDEGATE_DISPATCH_TOKEN_FILE": str(self.folder / "pod-token"),
            "TIDEGATE_POOL": "warm",
            "TIDEGATE_NAMESPACE": "team",
            "TIDEGATE_POOL_SLOTS": "4",
            "TIDEGATE_POOL_PRELOAD": "[]",
            "TIDEGATE_POOL_DRAIN_SECONDS": "60",
            "TIDEGATE_POOL_GRACE_SECONDS": "30",
            "TIDEGATE_POOL_PORT": str(self.health_port),
            "TIDEGATE_POOL_DIRECTORY": str(self.runs),
            "TIDEGATE_POOL_TERMINATION_LOG": str(self.folder / "termination-log"),
            **self.variables,
        }

    def start(self, stdout: int | None = None) -> Self:
        (self.folder / "pod-token").write_text("pod-token-1")
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.command, "-m", "tidegate.worker"],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
            )
        return self

    def log(self) -> list[Message]:
        """What it has written so far."""
        text = (self.folder / "log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def lines(self, handover: str = "h1") -> list[str]:
        """A run's lines, once its last one is there."""
        wait_until(lambda: self.end_of(handover) is not None, seconds=SECONDS, what=f"the last line of {handover}")
        return [entry["line"] for entry in self.log() if entry.get("handover") == handover and "line" in entry]

    def end_of(self, handover: str) -> Message | None:
        found = [entry for entry in self.log() if entry.get("handover") == handover and entry.get("end")]
        return found[0] if found else None

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(SECONDS)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


@contextmanager
def running(worker: PoolWorker) -> Iterator[PoolWorker]:
    """A worker that is ended with the test."""
    try:
        yield worker.start()
    finally:
        worker.stop()
