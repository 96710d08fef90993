"""What the worker's processes say to each other: whatever else arrives is garbage, and nothing worse."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.worker.messages import (
    Garbage,
    Note,
    RunSpec,
    decode,
    decode_status,
    encode,
    encode_status,
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
    assert decode_status(encode_status(status)) == code


@given(st.binary())
def test_garbage_is_said_to_be(data: bytes) -> None:
    for read in (decode, decode_status):
        with contextlib.suppress(Garbage):
            read(data)


@pytest.mark.parametrize("data", [b"", b"x", b"-1", b"9" * 30, b"4991", b"65535"])
def test_a_status_that_is_no_end(data: bytes) -> None:
    with pytest.raises(Garbage):
        decode_status(data)


@pytest.mark.parametrize(
    "data", [b"[]", b'["forked"]', b'["forked", "h", "x", ""]', b'["forked", "h", true, ""]', b"7"]
)
def test_a_note_that_is_none(data: bytes) -> None:
    with pytest.raises(Garbage):
        decode(data)
