"""logfiles: wherever the kubelet takes a follower, each line is kept once, and what was passed over is said."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loglines import Store, file, lines, stamped
from tidegate_web.mirror.logs.files import LONGEST_STAMP, Beginning, LogFiles, Turn, stamp_of
from tidegate_web.mirror.logs.lines import LOST, LineReader


def time_of(number: int) -> int:
    stamp = stamp_of(file(number, number + 1))
    assert stamp is not None
    return stamp


def starting_at(number: int) -> Beginning:
    """A file whose first line is this one."""
    return Beginning(first=time_of(number), second=time_of(number + 1))


def rest_of(number: int) -> bytes:
    """What a file begins with that begins within this line: the end of it, with a time of its own."""
    return stamped(number, b" %d\n" % number).replace(b"0000000Z", b"5000000Z")


@dataclass
class Node:
    """A container's log in its files, and the kubelet as one follower meets it (ReadLogs of k8s.io/cri-client)."""

    written: int = 0
    begins: list[int] = field(default_factory=lambda: [0])
    """The first line of each file."""
    within: set[int] = field(default_factory=set)
    """Those of them whose first part ends the file before."""
    at: int = 0
    """The line that the follower gets next."""
    open: int = 0
    """The file that it reads."""
    watches: bool = False
    notices: int = 0
    """Of files that began, which it hasn't heard yet."""
    within_line: bool = False
    """Whether the last that it got was the first part of a line. What comes next has no time then."""

    def rotate(self, *, within_line: bool = False) -> None:
        self.begins.append(self.written)
        if within_line:
            self.within.add(self.written)
            self.written += 2
        self.notices += self.watches

    def follow(self) -> None:
        """A follower comes."""
        self.open, self.at, self.watches, self.notices = len(self.begins) - 1, self.begins[-1], False, 0
        self.within_line = False

    def content(self, first: int, last: int) -> bytes:
        """Lines of one file."""
        return rest_of(first) + file(first + 1, last) if first in self.within and first < last else file(first, last)

    def present(self) -> bytes:
        return self.content(self.begins[-1], self.written)

    def give(self) -> bytes:
        """What the follower gets, to the end of the file that it reads."""
        last = self.open + 1 == len(self.begins)
        end = self.written if last else self.begins[self.open + 1]
        given, self.at = self.content(self.at, end), max(self.at, end)
        if self.within_line and given:
            given, self.within_line = given[given.index(b" ") + 1 :], False
        if end in self.within and not last and not self.within_line:
            given += stamped(end, b"line %d" % end)
            self.within_line = True
        return given

    def wait(self) -> None:
        """At the end of a file the kubelet begins to watch, and later hears of what has happened since."""
        if self.watches and self.notices:
            self.notices -= 1
            self.open, self.at = len(self.begins) - 1, self.begins[-1]
        self.watches = True


STEPS = st.one_of(
    st.integers(2, 5).map(lambda count: ("write", count)),
    st.sampled_from([("rotate", 0), ("cut", 0), ("give", 0), ("wait", 0), ("break", 0), ("look", 0)]),
)


@given(steps=st.lists(STEPS, max_size=60), cuts=st.lists(st.integers(0, 1000), max_size=5))
def test_no_line_is_kept_twice_nor_left_out_unsaid(steps: list[tuple[str, int]], cuts: list[int]) -> None:
    node, store = Node(), Store()
    reader = LineReader(store.place)

    def look() -> None:
        beginning = Beginning.of(node.present(), more=False)
        if beginning is not None:
            reader.files.begins(beginning)

    def wait() -> None:
        store.feed(reader, node.give())
        look()
        node.wait()

    for step, count in steps:
        if step == "write":
            node.written += count
        elif step == "look":
            look()
        elif step == "rotate" and node.written > node.begins[-1] + 1:
            look()  # a file lasts longer than it takes to look at it
            node.rotate()
        elif step == "cut" and node.written > node.begins[-1] + 1:
            look()
            node.rotate(within_line=True)
        elif step == "give":
            store.feed(reader, node.give(), cuts=cuts)
        elif step == "wait":
            wait()
        elif step == "break":
            node.follow()
            reader = LineReader(store.place)
    for _ in range(node.notices + 2):
        wait()
    store.read(node.present())
    kept = [None if line == LOST else number_of(line) for line in store.data.splitlines(keepends=True)]
    # What was gone before anything was read is not known of.
    for before, number, after in zip([None, *kept], kept, [*kept[1:], 0], strict=False):
        assert number != TORN or None in (before, after)
    numbers = [number for number in kept if number not in (None, TORN)]
    assert numbers == sorted(set(numbers))
    for before, after in pairwise([*kept, node.written]):
        if before not in (None, TORN) and after not in (None, TORN):
            assert (before or 0) + 1 == after


TORN = -1


def number_of(line: bytes) -> int:
    """A whole line's number, or TORN."""
    found = re.fullmatch(rb"line (\d+)(?: \1)?\n", line)
    return int(found[1]) if found else TORN


def test_a_file_that_begins_within_a_line_is_gone_into_unsaid() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3) + stamped(3, b"line 3"))
    present = rest_of(3) + file(4, 6)
    beginning = Beginning.of(present, more=False)
    assert beginning is not None
    reader.files.begins(beginning)
    store.feed(reader, b" 3\n" + file(4, 6))
    assert LOST not in store.data
    assert reader.files.behind is False
    kept = store.data
    store.read(present)
    assert store.data == kept


@pytest.mark.parametrize(
    ("head", "more", "beginning"),
    [
        (file(3, 5), True, starting_at(3)),
        (file(3, 4), False, Beginning(first=time_of(3), only=b"line 3\n")),
        (b"", False, None),
        (b"no time\n" + file(3, 4), True, None),
        (stamped(3, b"long"), True, Beginning(first=time_of(3))),
        (file(3, 5)[: LONGEST_STAMP + 9], True, Beginning(first=time_of(3))),
    ],
)
def test_how_a_file_begins(head: bytes, more: bool, beginning: Beginning | None) -> None:
    assert Beginning.of(head, more=more) == beginning


def test_the_next_file_is_gone_into_unsaid() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(starting_at(3))
    store.feed(reader, file(3, 6))
    assert store.data == b"".join(lines(0, 6))
    assert store.place.file_at == time_of(3)
    assert store.place.file_base == len(b"".join(lines(0, 3)))


def test_a_file_that_was_passed_over_is_said_to_be_missing() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(starting_at(100))
    store.feed(reader, file(200, 203))
    assert store.data == b"".join([*lines(0, 3), LOST, *lines(200, 203)])


def test_a_file_that_comes_twice_is_kept_once() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(starting_at(3))
    store.feed(reader, file(3, 5) + file(3, 5) + file(3, 8))
    assert store.data == b"".join(lines(0, 8))


def test_lines_of_the_same_time_are_all_kept() -> None:
    store = Store()
    store.read(b"".join(stamped(number // 3, b"line %d\n" % number) for number in range(9)), cuts=[100, 200])
    assert store.data == b"".join(lines(0, 9))


def test_a_clock_that_is_set_back_loses_no_line() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(500, 503) + file(100, 103))
    assert store.data == b"".join([*lines(500, 503), *lines(100, 103)])


@pytest.mark.parametrize(("line", "behind"), [(b"line 3\n", True), (b" 2\n", False)])
def test_the_only_line_of_a_file_may_be_the_rest_of_the_last(line: bytes, behind: bool) -> None:
    reader = LineReader(Store().place)
    list(reader.feed(file(0, 3)))
    beginning = Beginning.of(stamped(3, line), more=False)
    assert beginning is not None
    reader.files.begins(beginning)
    assert reader.files.behind is behind


def test_lines_of_error_and_output_out_of_order_where_a_file_begins() -> None:
    files = LogFiles()
    files.opened(time_of(0))
    files.begins(starting_at(3))
    before = file(0, 3) + b"2026-11-25T12:00:00.060500000Z another\n"
    assert files.turn(before + file(3, 5), within_line=False) == (len(before), Turn.NEXT)


@pytest.mark.parametrize(("read_to", "behind"), [(2, True), (4, False)])
def test_who_has_read_into_the_present_file_is_not_behind(read_to: int, behind: bool) -> None:
    reader = LineReader(Store().place)
    list(reader.feed(file(0, read_to)))
    reader.files.begins(starting_at(3))
    assert reader.files.behind is behind
    list(reader.feed(file(read_to, 6)))
    assert reader.files.behind is False
