"""Which file of a log is being read. Pure.

A node writes a container's log in files and gives the present one. Who follows is taken on to the next by the kubelet, unless that
was at work on the old one when the next began: its watch of the folder begins with its first wait, and each notice it gets
later only makes it open the file that is there by then. So a follower can wait for a file that has ended long ago, can be taken past
a whole one, and can get one from its beginning twice. Nothing in what is read shows that; therefore a monitor looks how the present
file begins (``rotation_monitor.py``), and here the times of the lines are compared with that.

A file can begin within a line: containerd takes its container's output in pieces, and has another file begin between two of them. The
rest of the line is then a line of its own there, with a time of its own. A follower that is taken on gets both parts as one line,
without the second time; so the time of the file's second line shows that it has come, too.
"""

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Self

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
LONGEST_STAMP = 40
"""Bytes of a line in which its time is."""
DISORDER = 10_000_000
"""Nanoseconds by which lines may come before earlier ones: standard output and error are stamped each by itself."""
END_BYTES = 16 * 1024
"""Of what was read: a line isn't longer, as a rule."""
_WITHOUT_ZONE = len("2006-01-02T15:04:05.000000000")


def stamp_of(line: bytes) -> int | None:
    """When a line was written, in nanoseconds since the epoch; None for a line without its time."""
    found = STAMP.match(line)
    if found is None:
        return None
    try:
        seconds = datetime.fromisoformat((found[1] + found[3]).decode()).timestamp()
    except (ValueError, OverflowError):
        return None  # a container wrote what looks like one
    return int(seconds) * 1_000_000_000 + int((found[2] or b"").ljust(9, b"0"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """How a file begins: the times of its first two lines."""

    first: int
    second: int | None = None
    """None where it wasn't seen."""
    only: bytes | None = None
    """The text of the first line where there is no second one yet."""

    @classmethod
    def of(cls, head: bytes, *, more: bool) -> Self | None:
        """What the first bytes of a file show; ``more``: the file goes on after them. None where they show no time."""
        first = stamp_of(head)
        if first is None:
            return None
        start = head.find(b"\n") + 1
        second = stamp_of(head[start:]) if start else None
        only = None if second is not None or more else head[head.index(b" ") + 1 :]
        return cls(first=first, second=second, only=only)

    def has_come(self, stamp: int) -> bool:
        """Whether a line of this time shows that the file is being read from its beginning."""
        return stamp in (self.first, self.second)

    def is_ahead_of(self, last: int, end: bytes) -> bool:
        """Whether nothing of the file had come when a line of this time and with this end did. The only line of a file may be the rest of
        that line: then it is not known before the next."""
        may_have_come = self.only is not None and end.endswith(self.only)
        return not may_have_come and last != self.first and (self.second or self.first) > last


class Turn(Enum):
    """What begins with a line besides itself."""

    NEXT = "the next file"
    SKIPPED = "another file, and of one before it nothing came"
    AGAIN = "the same file once more"


class LogFiles:
    """The files that one reading goes through."""

    def __init__(self) -> None:
        self._told: deque[Beginning] = deque()
        self._known: set[int] = set()
        """The times of lines that are the first of their file."""
        self._met: set[int] = set()
        """Those of them that were compared with what had been read by then."""
        self._coming: list[Beginning] = []
        """The files that nothing was read of yet."""
        self._last: int | None = None
        self._last_raw = b""
        self._end = b""
        """Of what was read."""

    def opened(self, first: int) -> None:
        """The reading has begun, with a line of this time."""
        self._known.add(first)
        self._last = first

    def begins(self, beginning: Beginning) -> None:
        """So the node's present file begins. From any thread."""
        self._told.append(beginning)

    @property
    def behind(self) -> bool:
        """Whether there is a file of which nothing came yet. From any thread."""
        last = self._last
        return last is not None and any(each.is_ahead_of(last, self._end) for each in [*self._told, *self._coming])

    def turn(self, block: bytes, *, within_line: bool) -> tuple[int, Turn | None]:
        """The first turn in some more lines, by its offset; without one, their length and None."""
        self._listen()
        self._end = (self._end + block[-END_BYTES:])[-END_BYTES:]
        start = block.find(b"\n") + 1 or len(block) if within_line else 0
        if self._goes_straight_on(block[start:]):
            return len(block), None
        while start < len(block):
            line = block[start : start + LONGEST_STAMP]
            stamp = stamp_of(line)
            turn = None if stamp is None else self._turn_at(stamp)
            if stamp is not None:
                self._last_raw = line[:_WITHOUT_ZONE]
            if turn is not None:
                return start, turn
            start = block.find(b"\n", start) + 1 or len(block)
        return len(block), None

    def _listen(self) -> None:
        while self._told:
            beginning = self._told.popleft()
            self._known.add(beginning.first)
            if beginning.first not in self._met:
                ahead = self._last is not None and beginning.is_ahead_of(self._last, self._end)
                if ahead or beginning.only is None:
                    self._met.add(beginning.first)
                if ahead:
                    self._coming.append(beginning)

    def _goes_straight_on(self, lines: bytes) -> bool:
        """Whether their times only grow, up to before the next file that is known. Much faster than to look at each."""
        raw = [line[:_WITHOUT_ZONE] for line in lines.split(b"\n") if line]
        if not raw:
            return True
        last = stamp_of(lines[lines.rfind(b"\n", 0, len(lines) - 1) + 1 :][:LONGEST_STAMP])
        if last is None or raw[0] < self._last_raw or (self._coming and last >= self._coming[0].first):
            return False
        if raw != sorted(raw):
            return False
        self._last, self._last_raw = last, raw[-1]
        return True

    def _turn_at(self, stamp: int) -> Turn | None:
        begun = [each for each in self._coming if each.has_come(stamp) or each.first + DISORDER < stamp]
        # Not by the same time: on some nodes many lines have that of the first.
        again = self._last is not None and stamp < self._last and stamp in self._known and not begun
        self._last = stamp if again or self._last is None else max(self._last, stamp)
        if again:
            return Turn.AGAIN
        if not begun:
            return None
        # Where a file was skipped the kubelet has opened another, from its beginning.
        self._known.add(stamp)
        self._coming = [each for each in self._coming if each not in begun]
        return Turn.NEXT if len(begun) == 1 and begun[0].has_come(stamp) else Turn.SKIPPED
