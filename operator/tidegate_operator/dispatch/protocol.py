"""What travels between the leader and a worker: one JSON object a line, its `type` first.

Everything from a worker is read with bounds: a run shares its worker's user, and a program there may speak to this port too. Times
travel as ages, since clocks differ; `hello.started` alone is a time, of the node's clock, and is compared with the node's own word.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_api.names import POOL_RESULT_MAX_BYTES

from tidegate_operator import json_codec
from tidegate_operator.records.lenient import as_map, as_text, bounded_or
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.usage import parse_usage

PROTOCOL: Final = 1
HELLO_MAX: Final = 8 * 1024
WORKER_LINE_MAX: Final = 256 * 1024
LEADER_LINE_MAX: Final = 1024 * 1024
NAME_MAX: Final = 253
OUTPUT_MAX: Final = 2048
AGE_MAX: Final = 10 * 365 * 86400.0
SLOTS_MAX: Final = 256


class ProtocolError(Exception):
    """A worker said what it can't; the message says what. Its connection is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """A worker says who it is."""

    token: str
    secret: str
    slots: int
    draining: bool
    started: float
    prepares: bool = False
    """Whether it takes `prepare`, `commit` and `abort`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNames:
    """Which run a hand-over is of, as the leader named it when it was made."""

    namespace: str
    name: str
    uid: str
    attempt: int
    queue: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The worker runs this, or has run it and keeps the outcome."""

    handover: str
    run: RunNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The function was called so many seconds ago."""

    handover: str
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The process and all that it started have ended."""

    handover: str
    run: RunNames
    end: ProcessEnd
    """Its `at` is an age: seconds since the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The worker doesn't take a hand-over."""

    handover: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The worker's token was renewed."""

    token: str


@dataclass(frozen=True, slots=True)
class Ready:
    """All that the worker holds has been said."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The worker takes no more."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The worker's main loop turns."""


Message = Held | Started | Ended | Refused | Renewed | Ready | Draining | Pong


def parse_hello(line: bytes) -> Hello:
    """The first line of a connection. Raises ProtocolError."""
    body = _decoded(line)
    if body.get("type") != "hello":
        raise ProtocolError("the first line is no hello")
    if body.get("protocol") != PROTOCOL:
        raise ProtocolError(
            f"protocol {str(body.get('protocol'))[:16]} is not spoken here, {PROTOCOL} is: update the image's runner"
        )
    token, secret = as_text(body.get("token")), as_text(body.get("secret"))
    if not token or not secret:
        raise ProtocolError("hello lacks a token or a secret")
    return Hello(
        token=token,
        secret=secret,
        slots=bounded_or(0, body.get("slots"), high=SLOTS_MAX),
        draining=body.get("draining") is True,
        started=_number(body.get("started"), high=float(2**40)),
        prepares=body.get("prepares") is True,
    )


def parse_message(line: bytes) -> Message | None:
    """A later line; None for a type that this version doesn't know. Raises ProtocolError."""
    body = _decoded(line)
    match body.get("type"):
        case "pong":
            return Pong()
        case "started":
            return Started(handover=_ident(body), age=_age(body.get("age")))
        case "ended":
            return Ended(handover=_ident(body), run=_run(body), end=_end(body))
        case "held":
            return Held(handover=_ident(body), run=_run(body))
        case "refused":
            return Refused(handover=_ident(body), message=(as_text(body.get("message")) or "")[:OUTPUT_MAX])
        case "token":
            return Renewed(token=as_text(body.get("token")) or "")
        case "ready":
            return Ready()
        case "draining":
            return Draining()
        case _:
            return None


def encode(kind: str, /, **fields: object) -> bytes:
    """One line from the leader."""
    return json_codec.dumps({"type": kind, **fields}) + b"\n"


def _decoded(line: bytes) -> Mapping[str, object]:
    try:
        body = json_codec.loads(line)
    except ValueError as error:
        raise ProtocolError("a line is no JSON") from error
    if not isinstance(body, dict):
        raise ProtocolError("a line is no JSON object")
    return body


def _ident(body: Mapping[str, object]) -> str:
    ident = as_text(body.get("handover"))
    if not ident or len(ident) > NAME_MAX:
        raise ProtocolError("a line names no hand-over")
    return ident


def _run(body: Mapping[str, object]) -> RunNames:
    run = as_map(body.get("run"))
    texts = {name: (as_text(run.get(name)) or "")[:NAME_MAX] for name in ("namespace", "name", "uid", "queue", "key")}
    if not texts["uid"] or not texts["namespace"]:
        raise ProtocolError("a line names no run")
    return RunNames(**texts, attempt=bounded_or(1, run.get("attempt"), low=1))


def _end(body: Mapping[str, object]) -> ProcessEnd:
    exit_code, number = body.get("exitCode"), body.get("signal")
    ran = body.get("ran")
    return ProcessEnd(
        at=_age(body.get("age")),
        ran=_age(ran) if ran is not None else None,
        exit_code=exit_code if type(exit_code) is int and 0 <= exit_code <= 255 else None,
        signal=number if type(number) is int and 1 <= number <= 64 else None,
        stopped=(as_text(body.get("stopped")) or None),
        result=_result(body.get("result")),
        too_large=body.get("tooLarge") is True,
        output=(as_text(body.get("output")) or "")[-OUTPUT_MAX:],
        usage=parse_usage(body.get("usage")),
    )


def _result(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("a result is no base64") from error
    if len(raw) > POOL_RESULT_MAX_BYTES:
        raise ProtocolError(f"a result has {len(raw)} bytes, more than {POOL_RESULT_MAX_BYTES}")
    return raw.decode("utf-8", "replace")


def _age(value: object) -> float:
    return _number(value, high=AGE_MAX)


def _number(value: object, *, high: float) -> float:
    if type(value) not in (int, float):
        return 0.0
    number = float(value)  # type: ignore[arg-type]
    return min(max(0.0, number), high) if math.isfinite(number) else 0.0
