"""mirror/logs/worker_lines: which lines of a worker's log are of a run, and what they say."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.mirror.logs.worker_lines import LONGEST_LINE, RunLine, parse_line

STAMP = b"2026-11-27T12:00:00.000000005Z "
AT = 1795780800000000005
LINE: dict[str, Any] = {
    "run": "r",
    "uid": "u",
    "attempt": 2,
    "handover": "h",
    "stream": "stdout",
    "at": 7,
    "line": "hällo",
}


def stamped(body: object) -> bytes:
    return STAMP + json.dumps(body, ensure_ascii=False).encode()


def test_a_line_of_a_run() -> None:
    expected = RunLine(handover="h", run="r", uid="u", attempt=2, at=7, data="hällo\n".encode(), ends=False, time=AT)
    assert parse_line(stamped(LINE)) == expected


def test_a_piece_of_a_line_has_no_end() -> None:
    found = parse_line(stamped({**LINE, "more": True}))
    assert found is not None
    assert found.data == "hällo".encode()


def test_the_end_of_a_run() -> None:
    found = parse_line(stamped({**{k: v for k, v in LINE.items() if k != "line"}, "end": True, "lines": 3}))
    assert found is not None
    assert (found.ends, found.data, found.at) == (True, b"", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"handover": ""},
        {"handover": 5},
        {"uid": None},
        {"run": "x" * 254},
        {"attempt": 0},
        {"attempt": True},
        {"attempt": "1"},
        {"at": -1},
        {"at": 1.5},
        {"at": None},
        {"line": None},
        {"line": ["x"]},
    ],
)
def test_what_lacks_a_name_a_place_or_a_text_is_of_no_run(change: dict[str, Any]) -> None:
    assert parse_line(stamped({**LINE, **change})) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"plain words",
        STAMP + b"plain words",
        STAMP + b"{",
        STAMP + b"[1]",
        stamped({"level": "info", "event": "the worker starts"}),
        STAMP + b"{" * 10_000,
        STAMP + b"{" + b"x" * LONGEST_LINE,
    ],
)
def test_other_lines_are_the_workers_own(raw: bytes) -> None:
    assert parse_line(raw) is None


@given(st.binary(max_size=200))
def test_whatever_bytes_a_log_has_they_break_nothing(raw: bytes) -> None:
    for line in (raw, STAMP + raw, STAMP + b"{" + raw):
        parse_line(line)
