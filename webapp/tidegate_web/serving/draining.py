"""Reads what is left of a request's body before it is answered.

A body that is refused (413, 401, 415, …) is answered without being read to its end. A server that then closes the connection, with
bytes of the client unread, resets it, and the client never sees the answer. So the rest is read and thrown away, within bounds of
size and time; a client that sends more than that may see the reset.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

MOST_BYTES = 64 * 1024 * 1024
MOST_SECONDS = 10.0
PIECE = 64 * 1024


class CountedInput:
    """``wsgi.input``, which knows how much of the body was read."""

    def __init__(self, stream: "InputStream", *, length: int | None) -> None:
        self._stream = stream
        self._left = length
        """None for a body that ends by itself (chunked)."""
        self.ended = length == 0

    def read(self, size: int = -1) -> bytes:
        return self._took(self._stream.read(size), size)

    def readline(self, size: int = -1) -> bytes:
        return self._took(self._stream.readline(size), size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return [self._took(line, -1) for line in self._stream.readlines(hint)]

    def __iter__(self) -> Iterable[bytes]:
        while line := self.readline():
            yield line

    def drain(self, *, now: Callable[[], float] = time.monotonic) -> None:
        """Read the rest and throw it away, within the bounds."""
        began, drained = now(), 0
        while not self.ended and drained < MOST_BYTES and now() - began < MOST_SECONDS:
            piece = self.read(PIECE if self._left is None else min(PIECE, self._left))
            if not piece:
                return
            drained += len(piece)

    def _took(self, data: bytes, size: int) -> bytes:
        if self._left is not None:
            self._left -= len(data)
            self.ended = self._left <= 0
        elif not data and size != 0:
            self.ended = True
        return data


class DrainUnread:
    """A WSGI app that answers only after the body of its request was read."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        length = _length(environ)
        # A body without a known end is not read: that would wait for ever.
        if length is None and not environ.get("wsgi.input_terminated"):
            return self._app(environ, start_response)
        counted = CountedInput(environ["wsgi.input"], length=length)
        environ["wsgi.input"] = counted
        answer = self._app(environ, start_response)
        if not counted.ended:
            # Under gunicorn a read waits for ever; a client that sends nothing more is not waited for.
            sock = environ.get("gunicorn.socket")
            before = sock.gettimeout() if sock is not None else None
            try:
                if sock is not None:
                    sock.settimeout(MOST_SECONDS)
                counted.drain()
                if sock is not None:
                    sock.settimeout(before)
            except OSError:
                pass  # the client is gone, or was too slow; the answer is tried all the same
        return answer


def _length(environ: "WSGIEnvironment") -> int | None:
    text = str(environ.get("CONTENT_LENGTH") or "")
    if text.isascii() and text.isdecimal():
        return int(text)
    chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING") or "").lower()
    return None if chunked else 0
