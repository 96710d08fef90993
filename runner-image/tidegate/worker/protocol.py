"""Messages between a worker and the operator's leader, version 1: one JSON object a line. Pure: no socket, no clock.

A line that isn't a message ends the connection; a ``start`` that can't be taken is refused by its hand-over. Unknown types
and fields are ignored, so that newer leaders can speak to older workers.
"""

from __future__ import annotations

import json
import re
from typing import Mapping, NamedTuple, Optional, Union

from tidegate.errors import TidegateError

VERSION = 1
MOST_LINE_BYTES = 1024 * 1024
"""Of a leader."""
MOST_SENT_BYTES = 256 * 1024
"""Of a worker."""
MOST_HELLO_BYTES = 8 * 1024
MOST_RUN_BYTES = 8 * 1024
"""Of what names a run: it is in each message of it."""
MOST_ENVIRONMENT_BYTES = 512 * 1024
MOST_SECONDS = 3_153_600_000
_HANDOVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Json = Mapping[str, object]
"""A JSON object as it came."""


class ProtocolError(TidegateError):
    """What came is no message: the connection is of no use."""


class Refused(TidegateError):
    """A ``start`` that isn't one."""


class RunName(NamedTuple):
    """What ``run`` says of a run, as far as the worker needs it."""

    name: str
    uid: str
    namespace: str
    attempt: int
    queue: str
    echo: Json
    """All of it, to be sent back."""


class Start(NamedTuple):
    """Run this."""

    handover: str
    run: RunName
    task: str
    entrypoint: str
    max_attempts: int
    env: Mapping[str, str]
    payload: Json
    timeout: float
    """Seconds from the function's start, 0 for none."""
    start_timeout: float
    """Seconds from the receipt to the function's start."""
    deadline: Optional[float]
    """Seconds from the receipt."""
    grace: float
    token: Optional[str]
    result_max_bytes: int


class Prepare(NamedTuple):
    """Get this ready to run. It runs at its ``Commit``, and never if an ``Abort`` or the end of the connection comes first."""

    start: Start


class Commit(NamedTuple):
    """Run what is prepared: the cluster knows of it now."""

    handover: str


class Abort(NamedTuple):
    """Drop what is prepared."""

    handover: str


class Welcome(NamedTuple):
    """The leader takes this worker."""

    ping_seconds: float


class Stop(NamedTuple):
    """End a run."""

    handover: str
    why: str


class Written(NamedTuple):
    """An outcome is stored."""

    handover: str


class RunToken(NamedTuple):
    """A run's token is renewed."""

    handover: str
    token: str


class Drain(NamedTuple):
    """Take no more runs."""


class Ping(NamedTuple):
    """Are you there?"""


class BadStart(NamedTuple):
    """A ``start`` that can't be taken, and why."""

    handover: str
    problem: str
    prepares: bool = False
    """Whether it was a ``prepare``: it is refused at its ``commit``."""


Message = Union[Welcome, Start, BadStart, Prepare, Commit, Abort, Stop, Written, RunToken, Drain, Ping]


class Lines:
    """Cuts a stream into lines, none longer than ``most`` bytes."""

    def __init__(self, most: int = MOST_LINE_BYTES) -> None:
        self._most = most
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole by now."""
        searched = len(self._rest)
        self._rest += data
        if self._rest.find(b"\n", searched) < 0:
            self._check(len(self._rest))
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        for line in (*lines, rest):
            self._check(len(line))
        self._rest = bytearray(rest)
        return lines

    def _check(self, length: int) -> None:
        if length > self._most:
            raise ProtocolError(f"a line is longer than {self._most} bytes")


def parse(line: bytes) -> Optional[Message]:
    """The message of a line; None for one of an unknown type. ProtocolError for what is no message."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ProtocolError("not an object with a type")
    kind = body["type"]
    try:
        if kind == "start":
            return _start(body)
        if kind == "prepare":
            start = _start(body)
            return Prepare(start) if isinstance(start, Start) else start._replace(prepares=True)
        if kind == "commit":
            return Commit(_handover(body))
        if kind == "abort":
            return Abort(_handover(body))
        if kind == "welcome":
            return Welcome(_number(body, "pingSeconds", least=0.001))
        if kind == "stop":
            return Stop(_handover(body), _text(body, "why"))
        if kind == "written":
            return Written(_handover(body))
        if kind == "token":
            return RunToken(_handover(body), _text(body, "token"))
    except Refused as error:
        raise ProtocolError(f"{kind}: {error}") from None
    if kind == "drain":
        return Drain()
    return Ping() if kind == "ping" else None


def encode(kind: str, **fields: object) -> bytes:
    """A message as a line."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":")).encode() + b"\n"


def encode_outcome(fields: Json) -> bytes:
    """An ``ended`` that is short enough, whatever the run has written."""
    line = encode("ended", **fields)
    if len(line) > MOST_SENT_BYTES:
        line = encode("ended", **{**fields, "output": ""})
    return line


def _start(body: Json) -> Union[Start, BadStart]:
    handover = _handover(body)
    try:
        return Start(
            handover=handover,
            run=_run(body.get("run")),
            task=_text(body, "task", empty=True),
            entrypoint=_text(body, "entrypoint"),
            max_attempts=int(_number(body, "maxAttempts", least=1)),
            env=_environment(body.get("env", {})),
            payload=_object(body.get("payload", {}), "payload"),
            timeout=_number(body, "timeout"),
            start_timeout=_number(body, "startTimeout", least=0.001),
            deadline=None if body.get("deadline") is None else _number(body, "deadline"),
            grace=_number(body, "grace"),
            token=None if body.get("token") is None else _text(body, "token"),
            result_max_bytes=int(_number(body, "resultMaxBytes", least=1)),
        )
    except Refused as error:
        return BadStart(handover, str(error))


def _run(value: object) -> RunName:
    run = _object(value, "run")
    if len(json.dumps(run)) > MOST_RUN_BYTES:
        raise Refused(f"run has more than {MOST_RUN_BYTES} bytes")
    return RunName(
        name=_text(run, "name"),
        uid=_text(run, "uid"),
        namespace=_text(run, "namespace"),
        attempt=int(_number(run, "attempt", least=1)),
        queue=_text(run, "queue", empty=True),
        echo=run,
    )


def _environment(value: object) -> Mapping[str, str]:
    env = _object({} if value is None else value, "env")
    size = 0
    checked: dict[str, str] = {}
    for name, text in env.items():
        if not isinstance(text, str):
            raise Refused(f"env {name!r} is not text")
        _check_text(text, f"env {name!r}")
        _check_text(name, "a name in env")
        if not name or "=" in name:
            raise Refused(f"env has the name {name!r}")
        size += len(name) + len(text)
        checked[name] = text
    if size > MOST_ENVIRONMENT_BYTES:
        raise Refused(f"env has more than {MOST_ENVIRONMENT_BYTES} bytes")
    return checked


def _handover(body: Json) -> str:
    value = body.get("handover")
    # It names a directory.
    if not isinstance(value, str) or not _HANDOVER.fullmatch(value):
        raise Refused("handover is missing or no name")
    return value


def _object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise Refused(f"{name} is not an object")
    return value


def _text(body: Json, name: str, *, empty: bool = False) -> str:
    value = body.get(name)
    if value is None and empty:
        return ""
    if not isinstance(value, str) or not (value or empty):
        raise Refused(f"{name} is missing or no text")
    _check_text(value, name)
    return value


def _check_text(value: str, name: str) -> None:
    """Text that can be a variable of an environment."""
    if "\0" in value:
        raise Refused(f"{name} has a NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(f"{name} is no Unicode text") from None


def _number(body: Json, name: str, *, least: float = 0) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= MOST_SECONDS:
        raise Refused(f"{name} is missing or no number from {least:g} to {MOST_SECONDS}")
    return value
