"""One worker's connection: bytes in lines, with bounds on both sides. It knows nothing of runs."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from tidegate_operator.dispatch.protocol import HELLO_MAX, LEADER_LINE_MAX, WORKER_LINE_MAX, encode

STALLED_SECONDS: Final = 30.0
"""A connection whose peer takes nothing for so long is closed."""
BACKLOG_MAX: Final = 1024 * 1024
"""Bytes that may wait to be sent before a worker is given nothing more."""


class Owner(Protocol):
    """Receives what a connection says."""

    def said_hello(self, connection: "Connection", line: bytes) -> None:
        """The first line."""

    def said(self, connection: "Connection", line: bytes) -> None:
        """A later line."""

    def lost(self, connection: "Connection") -> None:
        """The connection is gone. Called once."""


class Connection(asyncio.Protocol):
    """The leader's end."""

    def __init__(self, owner: Owner, *, monotonic: Callable[[], float]) -> None:
        self._owner, self._monotonic = owner, monotonic
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._greeted = False
        self._closed = False
        self.heard_at = monotonic()
        """When it last said anything."""
        self._sent_at = monotonic()
        self._unsent = 0
        self.pod_uid = ""
        """Of the worker; empty until it has shown who it is."""
        self.instance = ""
        """The container instance that it speaks for."""
        self.held: set[str] = set()
        """Hand-overs that the worker has, as far as is known here: said by it, or sent to it, and not written yet."""
        self.ready = False
        """Whether it has said all that it holds."""
        self.prepares = False
        """Whether the worker gets a run ready while the intent is being written."""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closed:
            return
        self.heard_at = self._monotonic()
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            if end > self._line_max:
                self.close()
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if self._greeted:
                self._owner.said(self, line)
            else:
                self._greeted = True
                self._owner.said_hello(self, line)
            if not self.is_open:
                return
        if len(self._buffer) > self._line_max:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._closed = True
        self._buffer.clear()
        self._owner.lost(self)

    # What the leader does

    @property
    def is_open(self) -> bool:
        """Whether anything can still be said."""
        return not self._closed

    @property
    def is_clogged(self) -> bool:
        """Whether so much waits to be sent that nothing new is."""
        return self._transport is None or self._transport.get_write_buffer_size() > BACKLOG_MAX

    def send(self, kind: str, /, **fields: object) -> bool:
        """Say something. False where it can't be said: the connection is closed, or the line would be too long."""
        line = encode(kind, **fields)
        if self._closed or self._transport is None or len(line) > LEADER_LINE_MAX:
            return False
        self._transport.write(line)
        return True

    def check(self, *, silence: float) -> bool:
        """Whether the peer still answers and takes what it is sent. Called now and again."""
        now = self._monotonic()
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if waiting < self._unsent or not waiting:
            self._sent_at = now
        self._unsent = waiting
        return now - self.heard_at <= silence and now - self._sent_at <= STALLED_SECONDS

    def close(self) -> None:
        """Say nothing more, and hear nothing more."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def _line_max(self) -> int:
        return WORKER_LINE_MAX if self._greeted else HELLO_MAX
