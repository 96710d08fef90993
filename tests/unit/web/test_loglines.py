"""loglines: whatever the breaks, each line is kept once, and what the node has thrown away is said."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loglines import Store, file, lines, stamped
from tidegate_web.mirror.logs.files import stamp_of
from tidegate_web.mirror.logs.lines import LONGEST_LINE, LOST, whole_characters
from tidegate_web.store.queries.logs import Place

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"1970-01-01T00:00:01.5Z text", 1.5),
        (b"1970-01-01T00:00:01Z text", 1.0),
        (b"1970-01-01T01:00:01.000000001+01:00 text", 1.000000001),
    ],
)
def test_the_time_of_a_line(line: bytes, seconds: float) -> None:
    assert stamp_of(line) == round(seconds * SECOND)


@pytest.mark.parametrize("line", [b"", b"text", b"2026-11-25 text", b"2026-11-25T12:00:00Z"])
def test_a_line_without_a_time(line: bytes) -> None:
    assert stamp_of(line) is None


@given(cuts=st.lists(st.integers(0, 1000)), broke=st.integers(0, 20))
def test_a_file_read_twice_is_kept_once(cuts: list[int], broke: int) -> None:
    store = Store()
    store.read(file(0, broke), cuts=cuts, whole=False)
    store.read(file(0, 20), cuts=cuts)
    assert store.data == b"".join(lines(0, 20))


@given(
    cuts=st.lists(st.integers(0, 1000)),
    stored=st.integers(1, 20),
    begins=st.integers(0, 25),
)
def test_another_file_is_read_from_after_the_last_line_that_is_kept(cuts: list[int], stored: int, begins: int) -> None:
    store = Store()
    store.read(file(0, stored), whole=False)
    store.read(file(begins, 30), cuts=cuts)
    missing = [LOST] if begins >= stored else []
    assert store.data == b"".join([*lines(0, stored), *missing, *lines(max(stored, begins), 30)])


@given(breaks=st.lists(st.integers(1, 60), min_size=1, max_size=5), steps=st.lists(st.integers(0, 60), max_size=5))
def test_no_line_is_kept_twice_nor_left_out_unsaid(breaks: list[int], steps: list[int]) -> None:
    store = Store()
    files = [0, *sorted(steps)]
    for number, end in enumerate(sorted(breaks)):
        begins = max((f for f in files[: number + 1] if f <= end), default=0)
        store.read(file(begins, end), whole=False)
    kept = store.data.splitlines(keepends=True)
    numbers = [int(line.split()[1]) for line in kept if line != LOST]
    assert numbers == sorted(set(numbers))
    for before, after in pairwise(kept):
        if LOST not in (before, after):
            assert int(after.split()[1]) == int(before.split()[1]) + 1


def test_a_line_that_looks_like_one_with_a_time_keeps_its_own() -> None:
    store = Store()
    store.read(stamped(1, b"2026-01-01T00:00:00Z hello\n") + stamped(2, b"bye"))
    assert store.data == b"2026-01-01T00:00:00Z hello\nbye"


def test_a_line_without_an_end_is_kept_in_pieces_as_it_was() -> None:
    store, text = Store(), b"x" * LONGEST_LINE + b" 2026-01-01T00:00:00Z y" * 10
    log = stamped(1, text + b"\n") + stamped(2, b"next\n")
    store.read(log, cuts=[LONGEST_LINE + 50, LONGEST_LINE + 100])
    assert store.data == text + b"\nnext\n"


def test_a_break_within_a_long_line_goes_on_within_it() -> None:
    store, text = Store(), b"x" * LONGEST_LINE * 2
    log = stamped(1, text + b"\n") + stamped(2, b"next\n")
    store.read(log[: LONGEST_LINE + 100], whole=False)
    assert 0 < len(store.data) < len(text)
    store.read(log)
    assert store.data == text + b"\nnext\n"


def test_garbage_is_kept_as_it_is() -> None:
    store, text = Store(), bytes(range(256)).replace(b"\n", b"") + b"\n"
    store.read(stamped(1, text) + stamped(2, b"\n") + stamped(3, text))
    assert store.data == text + b"\n" + text


def test_a_log_without_times_is_kept_by_its_bytes() -> None:
    store = Store()
    store.read(b"one\ntwo\n", whole=False)
    store.read(b"one\ntwo\nthree\n")
    assert store.data == b"one\ntwo\nthree\n"


def test_an_empty_file_at_the_end_says_that_lines_may_be_missing() -> None:
    store = Store()
    store.read(file(0, 3), whole=False)
    store.read(b"")
    assert store.data == b"".join([*lines(0, 3), LOST])


def test_a_log_without_a_line_says_nothing() -> None:
    store = Store()
    store.read(b"")
    assert store.data == b""


def test_what_was_kept_before_times_were_is_gone_on_from() -> None:
    store = Store(pieces=[b"line 0\n"], place=Place(position=7))
    store.read(file(0, 3))
    assert store.data == b"".join(lines(0, 3))


@pytest.mark.parametrize("broken", [False, True])
@given(cuts=st.lists(st.integers(0, 200_000), max_size=8))
@settings(max_examples=25)
def test_no_character_is_in_two_pieces(broken: bool, cuts: list[int]) -> None:
    text = "ü漢🙂" * 8_000
    line = stamped(0, text.encode())
    store = Store()
    if broken:
        store.read(line[: len(line) // 2 + 1], cuts=cuts, whole=False)
    store.read(line, cuts=cuts)
    assert "".join(piece.decode() for piece in store.pieces) == text


@given(st.binary(max_size=12))
def test_bytes_that_are_no_characters_stay(data: bytes) -> None:
    cut = whole_characters(data)
    assert 0 <= len(data) - cut <= 3
    if cut < len(data):  # what is left for the next piece is the beginning of a character
        assert data[cut] >= 0xC2


@pytest.mark.parametrize("line", [b"2026-99-99T99:99:99Z text", b"2026-11-25T12:00:00+99:00 text"])
def test_what_looks_like_a_time_and_is_none(line: bytes) -> None:
    assert stamp_of(line) is None
