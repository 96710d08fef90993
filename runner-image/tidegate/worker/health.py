"""/healthz and /readyz over plain HTTP, answered by the main loop: an answer says that the loop turns.

Bounded: a connection has five seconds, and when there are too many the oldest goes, so that nothing keeps the kubelet out.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Callable

from tidegate.worker.loop import READ, Loop

MOST_CONNECTIONS = 16
MOST_REQUEST_BYTES = 4096
SECONDS = 5.0


class Health:
    """The server."""

    def __init__(self, port: int, *, ready: Callable[[], bool], loop: Loop, clock: Callable[[], float]) -> None:
        self._ready, self._loop, self._clock = ready, loop, clock
        dual = socket.has_dualstack_ipv6()
        self._server = socket.create_server(
            ("", port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            dualstack_ipv6=dual,
            backlog=64,
        )
        self._server.setblocking(False)
        self._open: dict[socket.socket, tuple[float, bytearray]] = {}
        loop.watch(self._server.fileno(), READ, self._accept)

    def tick(self) -> float:
        """Close what takes too long; when to look again."""
        now = self._clock()
        for connection, (until, _) in list(self._open.items()):
            if now >= until:
                self._close(connection)
        return min((until for until, _ in self._open.values()), default=now + SECONDS)

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._server.accept()
        except OSError:  # it has gone again, or there are no descriptors
            return
        connection.setblocking(False)
        if len(self._open) >= MOST_CONNECTIONS:
            self._close(next(iter(self._open)))
        self._open[connection] = (self._clock() + SECONDS, bytearray())
        self._loop.watch(connection.fileno(), READ, lambda _: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        request = self._open[connection][1]
        try:
            data = connection.recv(MOST_REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        request += data
        if b"\r\n\r\n" in request or b"\n\n" in request:
            with contextlib.suppress(OSError):  # smaller than any buffer: sent at once, or the peer is gone
                connection.send(self._answer(bytes(request)))
            self._close(connection)
        elif not data or len(request) > MOST_REQUEST_BYTES:
            self._close(connection)

    def _answer(self, request: bytes) -> bytes:
        words = request.split(None, 2)
        path = words[1].partition(b"?")[0] if len(words) > 1 else b""
        if words[:1] not in ([b"GET"], [b"HEAD"]):
            return _response("405 Method Not Allowed", b"")
        if path == b"/healthz":
            return _response("200 OK", b"ok\n")
        if path == b"/readyz":
            return (
                _response("200 OK", b"ok\n") if self._ready() else _response("503 Service Unavailable", b"not ready\n")
            )
        return _response("404 Not Found", b"")

    def _close(self, connection: socket.socket) -> None:
        del self._open[connection]
        self._loop.forget(connection.fileno())
        connection.close()


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
