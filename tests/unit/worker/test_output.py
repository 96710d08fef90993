"""Bytes of a run become lines of the log that lose nothing and are short enough."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tidegate.worker.output import MOST_LINE_BYTES, TAIL_BYTES, Piece, Splitter, Tail, Writer, Written, end_line

HEAD: dict[str, object] = {"run": "größe", "uid": "u", "attempt": 1, "handover": "h"}


def logged(data: bytes, size: int) -> list[dict[str, object]]:
    splitter, writer = Splitter(), Writer(HEAD, "stdout")
    lines = []
    for start in range(0, len(data), size):
        lines += writer.lines(splitter.feed(data[start : start + size]))
    lines += writer.lines(splitter.finish())
    assert all(len(line) <= MOST_LINE_BYTES and line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def whole(entries: list[dict[str, object]]) -> list[str]:
    lines, current = [], ""
    for entry in entries:
        current += str(entry["line"])
        if "more" not in entry:
            lines.append(current)
            current = ""
    assert not current
    return lines


@given(st.text(max_size=300), st.integers(1, 50), st.sampled_from([1, 200]))
def test_text_comes_out_as_it_went_in(text: str, size: int, times: int) -> None:
    text = text * times
    entries = logged(text.encode("utf-8", "surrogatepass"), size * times)
    expected = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").split("\n")
    assert whole(entries) == (expected if expected[-1] else expected[:-1])


def test_pieces_are_cut_between_characters() -> None:
    for width in range(1, 5):
        text = "x" * width + "€𝄞ä" * 10_000
        entries = logged(text.encode(), 8192)
        assert whole(entries) == [text]
        assert len(entries) > 1


def test_binary_data_of_any_length() -> None:
    for byte in (b"\xff", b"\x80", b"\0", b"\xf0"):
        (line,) = whole(logged(byte * 50_000, 8192))
        assert set(line) == {byte.decode("utf-8", "replace")}


def test_a_line_says_whose_it_is() -> None:
    assert Writer(HEAD, "stderr").lines([Piece(b"a", False), Piece(b"b", True)]) == [
        '{"run": "größe", "uid": "u", "attempt": 1, "handover": "h", "stream": "stderr", "at": 0, "line": "a"}\n'.encode(),
        '{"run": "größe", "uid": "u", "attempt": 1, "handover": "h", "stream": "stderr", "at": 2, "line": "b", "more": true}\n'.encode(),
    ]
    written = Written()
    written.bytes = 7
    assert json.loads(end_line(HEAD, 2, written)) == {**HEAD, "end": True, "lines": 2, "at": 7}


@given(st.lists(st.text(max_size=20_000), max_size=4), st.sampled_from(["stdout", "stderr"]))
def test_each_line_says_how_many_bytes_came_before_it(texts: list[str], stream: str) -> None:
    entries = logged("\n".join(texts).encode("utf-8", "replace"), 4096)
    place = 0
    for entry in entries:
        assert entry["at"] == place
        place += len(str(entry["line"]).encode()) + (0 if "more" in entry else 1)


@given(st.lists(st.binary(max_size=3000)))
def test_the_tail_is_the_end_and_short_enough(parts: list[bytes]) -> None:
    tail = Tail()
    for part in parts:
        tail.add(part)
    text = tail.text()
    assert len(text.encode()) <= TAIL_BYTES
    everything = b"".join(parts)
    if everything.isascii():
        assert text == everything[-TAIL_BYTES:].decode()


def test_the_tail_begins_with_a_whole_character() -> None:
    tail = Tail()
    tail.add("€".encode() * 1000)
    assert set(tail.text()) == {"€"}
