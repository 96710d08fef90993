"""A log in lines with their times, and what a reader keeps of it."""

from dataclasses import dataclass, field

from tidegate_web.mirror.logs.lines import LineReader, Piece
from tidegate_web.store.queries.logs import Place


def stamped(number: int, text: bytes) -> bytes:
    """A line as the kubelet gives it; there are fifty in a second."""
    return f"2026-11-25T12:00:{number // 50:02}.{number % 50 * 20:03}000000Z ".encode() + text


@dataclass
class Store:
    """What is kept of a log, and the place after it."""

    pieces: list[bytes] = field(default_factory=list)
    place: Place = field(default_factory=Place)

    def read(self, log: bytes, *, cuts: list[int] | None = None, whole: bool = True) -> None:
        """Read a file from its beginning, in pieces; not ``whole``: break off before its end."""
        reader = LineReader(self.place)
        self.feed(reader, log, cuts=cuts)
        if whole:
            for piece in reader.end():
                self.keep(piece)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def keep(self, piece: Piece) -> None:
        self.pieces.append(piece.data)
        self.place = piece.place

    def feed(self, reader: LineReader, log: bytes, *, cuts: list[int] | None = None) -> None:
        """Some more of what a reading gets, in pieces."""
        at = 0
        for cut in [*sorted(cut % (len(log) + 1) for cut in cuts or []), len(log)]:
            for piece in reader.feed(log[at:cut]):
                self.keep(piece)
                assert self.place.position == len(self.data)
            at = cut


def lines(first: int, last: int) -> list[bytes]:
    return [f"line {number}\n".encode() for number in range(first, last)]


def file(first: int, last: int) -> bytes:
    """The lines from one to another, as the kubelet gives them."""
    return b"".join(stamped(number, f"line {number}\n".encode()) for number in range(first, last))
