"""From the bytes that a run writes to lines of the worker's log. Pure.

A line of the log has at most 12 KiB: container runtimes cut longer ones into pieces of their own, at any place.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import NamedTuple, Optional

from tidegate.worker.protocol import RunName

MOST_LINE_BYTES = 12 * 1024
PIECE_BYTES = 8 * 1024
TAIL_BYTES = 2 * 1024


class Piece(NamedTuple):
    """A line, or a part of one."""

    data: bytes
    more: bool
    """Whether the same line goes on."""


class Splitter:
    """Cuts a stream of bytes into lines, and long lines into pieces between characters."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Piece]:
        """The lines and pieces that are whole by now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        pieces = [piece for line in lines for piece in _pieces(line)]
        while len(self._rest) > PIECE_BYTES:
            end = _boundary(self._rest)
            pieces.append(Piece(self._rest[:end], True))
            self._rest = self._rest[end:]
        return pieces

    def finish(self) -> list[Piece]:
        """What is left of a last line without an end."""
        rest, self._rest = self._rest, b""
        return [Piece(rest, False)] if rest else []


class Written:
    """How many bytes of a run's log there are by now, all its streams together: each line says how many came before it.

    So a reader that comes back knows what is new, and sees what is missing.
    """

    def __init__(self) -> None:
        self.bytes = 0


class Writer:
    """Makes lines of the log. ``head`` is what each of them begins with; ``written`` counts what there is of a run."""

    def __init__(self, head: dict[str, object], stream: str, written: Optional[Written] = None) -> None:
        self._head = json.dumps({**head, "stream": stream}, ensure_ascii=False)[:-1].encode("utf-8", "replace")
        self._written = written if written is not None else Written()
        self._most_text = (
            MOST_LINE_BYTES - len(self._head) - len(b', "at": 9007199254740992, "line": , "more": true}\n')
        )

    def lines(self, pieces: list[Piece]) -> list[bytes]:
        """The lines of the log for some pieces."""
        made: list[bytes] = []
        for piece in pieces:
            self._add(made, piece.data.decode("utf-8", "replace"), piece.more)
        return made

    def _add(self, made: list[bytes], text: str, more: bool) -> None:
        encoded = encode_basestring(text).encode()
        if len(encoded) > self._most_text and len(text) > 1:
            # Control characters become six times as long.
            half = len(text) // 2
            self._add(made, text[:half], True)
            self._add(made, text[half:], more)
            return
        end = b', "more": true}\n' if more else b"}\n"
        made.append(b'%b, "at": %d, "line": %b%b' % (self._head, self._written.bytes, encoded, end))
        self._written.bytes += len(text.encode()) + (0 if more else 1)


class Tail:
    """The end of what a run has written, for people who read why it failed."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        """More was written."""
        self._data = (self._data + data[-TAIL_BYTES:])[-TAIL_BYTES:]

    def text(self) -> str:
        """As text: at most as many bytes as are kept, and no broken character at its beginning."""
        data = self._data
        if len(data) == TAIL_BYTES:
            data = data.lstrip(bytes(range(0x80, 0xC0)))
        text = data.decode("utf-8", "replace")
        while len(text.encode()) > TAIL_BYTES:  # each byte that is no character has become three
            text = text[len(text) // 8 + 1 :]
        return text


def head_of(run: RunName, handover: str) -> dict[str, object]:
    """What each line of a run begins with."""
    return {"run": run.name, "uid": run.uid, "attempt": run.attempt, "handover": handover}


def end_line(head: dict[str, object], lines: int, written: Written) -> bytes:
    """The line after a run's last one. ``lines`` counts those of the log, pieces too."""
    return (
        json.dumps({**head, "end": True, "lines": lines, "at": written.bytes}, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        + b"\n"
    )


def _pieces(line: bytes) -> list[Piece]:
    pieces = []
    while len(line) > PIECE_BYTES:
        end = _boundary(line)
        pieces.append(Piece(line[:end], True))
        line = line[end:]
    pieces.append(Piece(line, False))
    return pieces


def _boundary(data: bytes) -> int:
    """Where to cut data that is longer than a piece: not inside of a character."""
    end = PIECE_BYTES
    while end > PIECE_BYTES - 4 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end if data[end] & 0xC0 != 0x80 else PIECE_BYTES
