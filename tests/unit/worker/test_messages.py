"""What the worker's processes say to each other: whatever else arrives is garbage, and nothing worse."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.usage import Usage
from tidegate.worker.messages import (
    Garbage,
    Note,
    RunSpec,
    decode,
    decode_end,
    encode,
    encode_end,
    read_spec,
    write_spec,
)


def test_notes_and_specifications_come_as_they_went() -> None:
    note = Note("forked", "h1", 7, "größe")
    assert decode(encode(note)) == note
    spec = RunSpec("m:f", "/tidegate/runs/h1", {"A": "x" * 100_000}, 1024)
    descriptor = write_spec(spec)
    assert read_spec(descriptor) == spec
    os.close(descriptor)


@pytest.mark.parametrize(("status", "code"), [(0, 0), (64 << 8, 64), (255 << 8, 255), (9, -9), (11 | 128, -11)])
def test_how_a_process_ended(status: int, code: int) -> None:
    assert decode_end(encode_end(status, Usage(1.5, 2**40))) == (code, (1.5, 2**40))


@given(st.binary())
def test_garbage_is_said_to_be(data: bytes) -> None:
    for read in (decode, decode_end):
        with contextlib.suppress(Garbage):
            read(data)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"-1 0 0", b"9" * 30 + b" 0 0", b"4991 0 0", b"65535 0 0", b"0", b"0 -1 0", b"0 0 -1"]
)
def test_a_status_that_is_no_end(data: bytes) -> None:
    with pytest.raises(Garbage):
        decode_end(data)


@pytest.mark.parametrize(
    "data", [b"[]", b'["forked"]', b'["forked", "h", "x", ""]', b'["forked", "h", true, ""]', b"7"]
)
def test_a_note_that_is_none(data: bytes) -> None:
    with pytest.raises(Garbage):
        decode(data)
