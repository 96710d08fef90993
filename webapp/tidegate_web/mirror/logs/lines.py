"""From a pod's log, as the kubelet gives it, to what of it isn't stored yet. Pure.

A log is read more than once: again after every break, and once more when its container has ended. The kubelet always gives
the file that is there now from its beginning, and at 10 MiB it begins another. Each line comes with its time, to the
nanosecond, which is taken off here and shows two things: whether this is still the same file, of which so many bytes are
stored, and if it isn't, after which line of the new one to go on. What can happen while one reading is taken from file to
file is in ``files.py``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from tidegate_web.mirror.logs.files import LONGEST_STAMP, STAMP, LogFiles, Turn, stamp_of
from tidegate_web.store.queries.logs import Place

LONGEST_LINE = 16 * 1024
"""Bytes of a line that hasn't ended; longer ones are kept in pieces."""

LOST = (
    b"[Tidegate: the node began another log file while this one could not be read; lines may be missing before this]\n"
)

_STAMPS = re.compile(rb"^" + STAMP.pattern, re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Bytes to be stored next, and the place after them."""

    data: bytes
    place: Place


class _Found(Enum):
    NOT_YET = "the last line that is stored is still to come"
    LAST = "it is there"
    LATER = "it isn't: a later one is there already"


class _Mode(Enum):
    UNKNOWN = "nothing was read yet"
    SKIP = "the same file: so many bytes are stored"
    SEEK = "another file, which begins before the last line that is stored"
    TAKE = "everything is new"


def whole_characters(data: bytes) -> int:
    """How many of the bytes don't end in the middle of a character of UTF-8: pieces are shown one by one, and of a character in
    two pieces neither could show anything. What isn't UTF-8 is as it is."""
    for back, byte in enumerate(reversed(data[-3:]), 1):
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC2 else 1
            return len(data) - back if byte < 0xF5 and length > back else len(data)
    return len(data)


class LineReader:
    """One reading of a log, from the beginning of its present file.

    ``files`` learns from it how the present one begins.
    """

    def __init__(self, place: Place) -> None:
        self.files = LogFiles()
        self._place = place
        self._mode = _Mode.UNKNOWN
        self._skip = 0
        self._passed = 0
        self._rest = b""
        self._stamped = True
        self._within_line = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Some more of the log: the new whole lines in it."""
        self._rest += data
        cut = self._rest.rfind(b"\n") + 1
        if cut == 0 and len(self._rest) >= LONGEST_LINE:
            cut = whole_characters(self._rest)
        block, self._rest = self._rest[:cut], self._rest[cut:]
        yield from self._take(block)

    def end(self, *, last: bool = True) -> Iterator[Piece]:
        """The reading has ended: what is left is a line, too. ``last``: nothing more will be written."""
        # What goes on later goes on with a whole character.
        cut = len(self._rest) if last else whole_characters(self._rest)
        block, self._rest = self._rest[:cut], b""
        yield from self._take(block)
        if last and self._mode is _Mode.UNKNOWN and self._place.position > 0:
            # There was a line once, so this is another file, begun when the container wrote its last.
            yield self._piece(LOST, self._place.line_at)

    def _take(self, block: bytes) -> Iterator[Piece]:
        if block and self._mode is _Mode.UNKNOWN:
            yield from self._begin(stamp_of(block))
        while block:
            end, turn = self.files.turn(block, within_line=self._within_line) if self._stamped else (len(block), None)
            yield from self._take_straight(block[:end])
            block = block[end:]
            if turn is not None:
                yield from self._follow(turn, stamp_of(block))

    def _take_straight(self, block: bytes) -> Iterator[Piece]:
        """Lines that follow one another."""
        if block and self._mode is _Mode.SEEK:
            block, found = self._after_last(block)
            if found is _Found.NOT_YET:
                return
            if found is _Found.LATER:
                yield self._piece(LOST, self._place.line_at)
            self._place = replace(self._place, file_base=self._place.position - self._passed)
            self._mode = _Mode.TAKE
        if not block:
            return
        text, line_at = self._without_stamps(block)
        if self._mode is _Mode.SKIP:
            skipped = min(self._skip, len(text))
            self._skip, text = self._skip - skipped, text[skipped:]
        if text:
            yield self._piece(text, line_at)

    def _follow(self, turn: Turn, first: int | None) -> Iterator[Piece]:
        """Into the file whose first line comes next."""
        self._passed = 0
        if turn is Turn.AGAIN:
            self._mode = _Mode.SEEK
        if self._mode is not _Mode.SEEK:
            self._mode = _Mode.TAKE
            if turn is Turn.SKIPPED:
                yield self._piece(LOST, self._place.line_at)
        self._place = replace(self._place, file_at=first, file_base=self._place.position)

    def _begin(self, first: int | None) -> Iterator[Piece]:
        """Find out which file this is, by the time of its first line."""
        before = self._place
        self._stamped = first is not None
        if first is not None:
            self.files.opened(first)
        self._place = replace(before, file_at=first)
        if before.position == 0:
            self._mode = _Mode.TAKE
        elif first is None or before.line_at is None or before.file_at == first:
            self._mode, self._skip = _Mode.SKIP, before.position - before.file_base
        elif first <= before.line_at:
            self._mode = _Mode.SEEK
        else:
            self._mode = _Mode.TAKE
            yield self._piece(LOST, before.line_at)
            self._place = replace(self._place, file_base=self._place.position)

    def _after_last(self, block: bytes) -> tuple[bytes, _Found]:
        """What follows the last line that is stored, and how it was found."""
        last, at = self._place.line_at, 0
        assert last is not None
        while at < len(block):
            end = block.find(b"\n", at) + 1 or len(block)
            stamp = None if self._within_line else stamp_of(block[at : at + LONGEST_STAMP])
            if stamp is not None and stamp > last:
                return block[at:], _Found.LATER
            self._passed += len(self._without_stamps(block[at:end])[0])
            at = end
            if stamp == last:
                return block[at:], _Found.LAST
        return b"", _Found.NOT_YET

    def _without_stamps(self, block: bytes) -> tuple[bytes, int | None]:
        """The block as the container wrote it, and the time of the last line that begins in it."""
        ended = block.endswith(b"\n")
        if not self._stamped:
            return block, None
        within, self._within_line = self._within_line, not ended
        start = block.find(b"\n") + 1 or len(block) if within else 0
        lines = block[start:]
        last = lines.rfind(b"\n", 0, len(lines) - ended) + 1
        return block[:start] + _STAMPS.sub(b"", lines), stamp_of(lines[last : last + LONGEST_STAMP])

    def _piece(self, data: bytes, line_at: int | None) -> Piece:
        place = self._place
        self._place = replace(
            place, position=place.position + len(data), line_at=place.line_at if line_at is None else line_at
        )
        return Piece(data=data, place=self._place)
