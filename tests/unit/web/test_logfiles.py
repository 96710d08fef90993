"""logfiles: wherever the kubelet takes a follower, each line is kept once, and what was passed over is said."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loglines import Store, file, lines, stamped
from tidegate_web.mirror.logs.files import LogFiles, Turn, stamp_of
from tidegate_web.mirror.logs.lines import LOST, LineReader


def time_of(number: int) -> int:
    stamp = stamp_of(file(number, number + 1))
    assert stamp is not None
    return stamp


@dataclass
class Node:
    """A container's log in its files, and the kubelet as one follower meets it (ReadLogs of k8s.io/cri-client)."""

    written: int = 0
    begins: list[int] = field(default_factory=lambda: [0])
    """The first line of each file."""
    at: int = 0
    """The line that the follower gets next."""
    open: int = 0
    """The file that it reads."""
    watches: bool = False
    notices: int = 0
    """Of files that began, which it hasn't heard yet."""

    def rotate(self) -> None:
        self.begins.append(self.written)
        self.notices += self.watches

    def follow(self) -> None:
        """A follower comes."""
        self.open, self.at, self.watches, self.notices = len(self.begins) - 1, self.begins[-1], False, 0

    def give(self) -> bytes:
        """What the follower gets, to the end of the file that it reads."""
        end = self.begins[self.open + 1] if self.open + 1 < len(self.begins) else self.written
        begin, self.at = self.at, max(self.at, end)
        return file(begin, end)

    def wait(self) -> None:
        """At the end of a file the kubelet begins to watch, and later hears of what has happened since."""
        if self.watches and self.notices:
            self.notices -= 1
            self.open, self.at = len(self.begins) - 1, self.begins[-1]
        self.watches = True


STEPS = st.one_of(
    st.integers(2, 5).map(lambda count: ("write", count)),
    st.sampled_from([("rotate", 0), ("give", 0), ("wait", 0), ("break", 0), ("look", 0)]),
)


@given(steps=st.lists(STEPS, max_size=60), cuts=st.lists(st.integers(0, 1000), max_size=5))
def test_no_line_is_kept_twice_nor_left_out_unsaid(steps: list[tuple[str, int]], cuts: list[int]) -> None:
    node, store = Node(), Store()
    reader = LineReader(store.place)

    def look() -> None:
        if node.written > node.begins[-1]:
            reader.files.begins(time_of(node.begins[-1]))

    def wait() -> None:
        store.feed(reader, node.give())
        look()
        node.wait()

    for step, count in steps:
        if step == "write":
            node.written += count
        elif step == "look":
            look()
        elif step == "rotate" and node.written > node.begins[-1]:
            look()  # a file lasts longer than it takes to look at it
            node.rotate()
        elif step == "give":
            store.feed(reader, node.give(), cuts=cuts)
        elif step == "wait":
            wait()
        elif step == "break":
            node.follow()
            reader = LineReader(store.place)
    for _ in range(node.notices + 2):
        wait()
    store.read(file(node.begins[-1], node.written))
    kept = store.data.splitlines(keepends=True)
    numbers = [int(line.split()[1]) for line in kept if line != LOST]
    assert numbers == sorted(set(numbers))
    # What was gone before anything was read is not known of.
    for before, after in pairwise([*kept, b"line %d\n" % node.written]):
        if LOST not in (before, after):
            assert int(after.split()[1]) == int(before.split()[1]) + 1


def test_the_next_file_is_gone_into_unsaid() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(time_of(3))
    store.feed(reader, file(3, 6))
    assert store.data == b"".join(lines(0, 6))
    assert store.place.file_at == time_of(3)
    assert store.place.file_base == len(b"".join(lines(0, 3)))


def test_a_file_that_was_passed_over_is_said_to_be_missing() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(time_of(100))
    store.feed(reader, file(200, 203))
    assert store.data == b"".join([*lines(0, 3), LOST, *lines(200, 203)])


def test_a_file_that_comes_twice_is_kept_once() -> None:
    store = Store()
    reader = LineReader(store.place)
    store.feed(reader, file(0, 3))
    reader.files.begins(time_of(3))
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


def test_lines_of_error_and_output_out_of_order_where_a_file_begins() -> None:
    files = LogFiles()
    files.opened(time_of(0))
    files.begins(time_of(3))
    before = file(0, 3) + b"2026-11-25T12:00:00.060500000Z another\n"
    assert files.turn(before + file(3, 5), within_line=False) == (len(before), Turn.NEXT)


@pytest.mark.parametrize(("read_to", "behind"), [(2, True), (4, False)])
def test_who_has_read_into_the_present_file_is_not_behind(read_to: int, behind: bool) -> None:
    reader = LineReader(Store().place)
    list(reader.feed(file(0, read_to)))
    reader.files.begins(time_of(3))
    assert reader.files.behind is behind
    list(reader.feed(file(read_to, 6)))
    assert reader.files.behind is False
