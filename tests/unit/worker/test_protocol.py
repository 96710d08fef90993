"""Messages as they come and go: bounds, and what is no message."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.worker import start_message
from tidegate.worker.protocol import (
    BadStart,
    Drain,
    Lines,
    Message,
    Ping,
    ProtocolError,
    RunToken,
    Start,
    Stop,
    Welcome,
    Written,
    encode,
    encode_outcome,
    parse,
)


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def start_of(**changes: object) -> Message | None:
    return parse(line(type="start", **{**start_message("m:f", {"a": 1}, handover="h-1.x"), **changes}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "welcome", "pingSeconds": 5, "more": 1}, Welcome(5)),
        ({"type": "stop", "handover": "h", "why": "Cancelled"}, Stop("h", "Cancelled")),
        ({"type": "written", "handover": "h"}, Written("h")),
        ({"type": "token", "handover": "h", "token": "t"}, RunToken("h", "t")),
        ({"type": "drain"}, Drain()),
        ({"type": "ping"}, Ping()),
        ({"type": "unheard of"}, None),
    ],
)
def test_messages(fields: dict[str, object], message: Message | None) -> None:
    found = parse(line(**fields))
    assert (type(found), found) == (type(message), message)


def test_a_start_has_all_that_a_run_needs() -> None:
    start = start_of(env={"A": "b"}, deadline=7.5, token="t", task=None)
    assert isinstance(start, Start)
    assert start.run.echo == start_message("", {}, handover="h-1.x")["run"]
    assert (start.handover, start.run.name, start.run.attempt, start.task) == ("h-1.x", "run-h-1.x", 1, "")
    assert (start.env, start.payload, start.deadline, start.token) == ({"A": "b"}, {"a": 1}, 7.5, "t")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run", {}),
        ("run", {**start_message("", {}, handover="h")["run"], "uid": 3}),
        ("run", {**start_message("", {}, handover="h")["run"], "attempt": True}),
        ("run", {**start_message("", {}, handover="h")["run"], "key": "x" * 9000}),
        ("entrypoint", None),
        ("entrypoint", "a\0b"),
        ("maxAttempts", 0),
        ("env", []),
        ("env", {"": "x"}),
        ("env", {"A=B": "x"}),
        ("env", {"A": "x\0"}),
        ("env", {"A": "\ud800"}),
        ("env", {"A": "x" * 600_000}),
        ("payload", "x"),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("startTimeout", 0),
        ("deadline", "soon"),
        ("grace", None),
        ("token", ""),
        ("resultMaxBytes", 0),
    ],
)
def test_a_start_that_is_none_names_its_field(field: str, value: object) -> None:
    found = start_of(**{field: value})
    assert isinstance(found, BadStart)
    assert found.handover == "h-1.x"
    assert field in found.problem or "attempt" in found.problem or "uid" in found.problem or "name" in found.problem


@pytest.mark.parametrize("handover", [None, "", ".", "..", "../x", "a/b", "-x", "a\n", "x" * 129, 3, "ä"])
def test_a_hand_over_that_cannot_name_a_directory_is_no_message(handover: object) -> None:
    for kind in ("start", "stop", "written", "token"):
        with pytest.raises(ProtocolError):
            parse(line(type=kind, handover=handover, why="x", token="x"))


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"\xff", b"[]", b"1", b"{}", b'{"type": 3}', b"[" * 100_000, b'{"type": "welcome"}'],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data)


@given(st.binary() | st.dictionaries(st.text(), st.integers() | st.text()).map(lambda d: json.dumps(d).encode()))
def test_nothing_but_a_protocol_error_comes_of_anything(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse(data)


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one)), st.integers(1, 30))
def test_lines_are_the_same_however_they_arrive(sent: list[bytes], size: int) -> None:
    data = b"".join(one + b"\n" for one in sent) + b"rest"
    lines, got = Lines(30), []
    for start in range(0, len(data), size):
        got += lines.feed(data[start : start + size])
    assert got == sent


def test_a_line_that_is_too_long_is_refused_before_and_after_its_end() -> None:
    assert Lines(3).feed(b"abc\nabc") == [b"abc"]
    for data in (b"abcd", b"abcd\n", b"a\nabcd\n", b"a\nabcd"):
        with pytest.raises(ProtocolError, match="longer than 3"):
            Lines(3).feed(data)


def test_a_message_is_one_line_with_its_type_first() -> None:
    assert encode("pong") == b'{"type":"pong"}\n'
    assert encode("refused", handover="h", message="a\nb") == b'{"type":"refused","handover":"h","message":"a\\nb"}\n'


def test_the_longest_outcome_fits_into_a_line() -> None:
    run = {"name": "x" * 8000}
    fields = {"handover": "h", "run": run, "result": "A" * 174_764, "output": "\0" * 2048, "age": 1.0}
    assert len(encode_outcome(fields)) < 256 * 1024
    assert json.loads(encode_outcome({**fields, "output": "\0" * 100_000}))["output"] == ""
