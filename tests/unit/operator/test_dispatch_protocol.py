"""dispatch/protocol and dispatch/connection: whatever a worker says is read with bounds, or ends its connection."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.dispatch.protocol import (
    HELLO_MAX,
    LEADER_LINE_MAX,
    WORKER_LINE_MAX,
    Ended,
    Hello,
    ProtocolError,
    Ready,
    RunNames,
    encode,
    parse_hello,
    parse_message,
)
from tidegate_operator.records.process import ProcessEnd

HELLO = {"type": "hello", "protocol": 1, "token": "t", "secret": "s", "slots": 4, "draining": False, "started": 12.5}
RUN = {"namespace": "n", "name": "r", "uid": "u", "attempt": 2, "queue": "q", "key": "k"}
ENDED = {
    "type": "ended",
    "handover": "h",
    "run": RUN,
    "exitCode": 0,
    "signal": None,
    "stopped": None,
    "ran": 1,
    "age": 0.5,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def line(body: object) -> bytes:
    return json.dumps(body).encode()


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def test_a_hello_says_who_it_is() -> None:
    assert parse_hello(line(HELLO)) == Hello(token="t", secret="s", slots=4, draining=False, started=12.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "hi"}, "no hello"),
        ({"protocol": 2}, "protocol 2 is not spoken here"),
        ({"protocol": None}, "protocol None"),
        ({"token": ""}, "lacks a token"),
        ({"secret": 5}, "lacks a token or a secret"),
    ],
)
def test_a_hello_that_is_none_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse_hello(line({**HELLO, **change}))


@pytest.mark.parametrize(("said", "slots"), [(10**9, 256), (-1, 0), ("4", 0), (None, 0), (2.5, 0)])
def test_slots_are_within_bounds(said: object, slots: int) -> None:
    assert parse_hello(line({**HELLO, "slots": said})).slots == slots


def test_an_end_is_read() -> None:
    body = {**ENDED, "result": encoded(b"[1]"), "output": "x" * 3000, "tooLarge": False}
    names = RunNames(namespace="n", name="r", uid="u", attempt=2, queue="q", key="k")
    end = ProcessEnd(at=0.5, ran=1.0, exit_code=0, result="[1]", output="x" * 2048)
    assert parse_message(line(body)) == Ended(handover="h", run=names, end=end)


@pytest.mark.parametrize(
    "change",
    [
        {"handover": ""},
        {"handover": "x" * 254},
        {"run": None},
        {"run": {"uid": "u"}},
        {"result": "no base64!"},
        {"result": encoded(b"x" * (128 * 1024 + 1))},
    ],
)
def test_an_end_that_is_none_ends_the_connection(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_message(line({**ENDED, **change}))


@pytest.mark.parametrize("value", [-5, 1e308, "1", None, True, [1]])
def test_odd_ages_and_codes_are_none(value: Any) -> None:
    message = parse_message(line({**ENDED, "age": value, "exitCode": -1, "signal": 99}))
    assert isinstance(message, Ended)
    assert 0 <= message.end.at <= 10 * 365 * 86400
    assert message.end.exit_code is None
    assert message.end.signal is None


def test_bytes_that_are_no_text_are_replaced() -> None:
    message = parse_message(line({**ENDED, "result": encoded(b"\xff")}))
    assert isinstance(message, Ended)
    assert message.end.result == "\ufffd"


def test_what_a_newer_worker_says_is_ignored() -> None:
    assert parse_message(line({"type": "news", "a": 1})) is None
    assert parse_message(line({"type": "ready", "a": 1})) == Ready()


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["hello", "held", "started", "ended", "refused", "token", "ready", "draining", "pong", ""]),
    JSON,
    st.data(),
)
def test_whatever_json_comes_it_is_a_message_or_an_error_of_the_protocol(
    kind: str, extra: Any, data: st.DataObject
) -> None:
    body = {**ENDED, "type": kind}
    for field in data.draw(st.lists(st.sampled_from(sorted(body)), max_size=4)):
        if field != "type":
            body[field] = data.draw(JSON)
    for text in (line(body), line(extra)):
        for parse in (parse_hello, parse_message):
            with contextlib.suppress(ProtocolError):
                parse(text)


@given(st.binary(max_size=64))
def test_whatever_bytes_come_they_are_an_error_of_the_protocol(text: bytes) -> None:
    for parse in (parse_hello, parse_message):
        with contextlib.suppress(ProtocolError):
            parse(text)


class Transport:
    """What a connection writes to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


class Owner:
    def __init__(self) -> None:
        self.hellos: list[bytes] = []
        self.lines: list[bytes] = []

    def said_hello(self, connection: Connection, line: bytes) -> None:
        self.hellos.append(line)

    def said(self, connection: Connection, line: bytes) -> None:
        self.lines.append(line)

    def lost(self, connection: Connection) -> None:
        pass


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def connected() -> tuple[Connection, Owner, Transport, Clock]:
    owner, transport, clock = Owner(), Transport(), Clock()
    connection = Connection(owner, monotonic=clock)
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, owner, transport, clock


def test_lines_are_cut_wherever_they_are_split() -> None:
    connection, owner, _, _ = connected()
    for byte in b"hello\none\ntwo\nthr":
        connection.data_received(bytes([byte]))
    assert (owner.hellos, owner.lines) == ([b"hello"], [b"one", b"two"])


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_hello_that_is_too_long_ends_the_connection(end: bytes) -> None:
    connection, owner, transport, _ = connected()
    connection.data_received(b"x" * (HELLO_MAX + 1) + end)
    assert transport.aborted
    assert owner.hellos == []


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_ends_the_connection(end: bytes) -> None:
    connection, owner, transport, _ = connected()
    connection.data_received(b"hello\n" + b"x" * WORKER_LINE_MAX + b"\n")
    assert len(owner.lines) == 1
    connection.data_received(b"x" * (WORKER_LINE_MAX + 1) + end)
    assert transport.aborted
    connection.data_received(b"more\n")
    assert len(owner.lines) == 1


def test_nothing_is_said_that_is_too_long_for_a_worker() -> None:
    connection, _, transport, _ = connected()
    assert connection.send("ping")
    assert not connection.send("start", payload="x" * LEADER_LINE_MAX)
    assert transport.written == [encode("ping")]


def test_a_worker_that_takes_nothing_is_given_nothing_more_and_then_let_go() -> None:
    connection, _, transport, clock = connected()
    transport.waiting = 2 * 1024 * 1024
    assert connection.is_clogged
    assert connection.check(silence=60)
    clock.now = 31.0
    connection.heard_at = clock.now
    assert not connection.check(silence=60)


def test_a_worker_that_takes_a_little_goes_on() -> None:
    connection, _, transport, clock = connected()
    for step in range(1, 10):
        transport.waiting = 1_000_000 - step
        clock.now = connection.heard_at = step * 20.0
        assert connection.check(silence=60)


def test_silence_ends_it() -> None:
    connection, _, _, clock = connected()
    clock.now = 14.0
    assert connection.check(silence=15)
    clock.now = 16.0
    assert not connection.check(silence=15)
