"""A TLS connection to the operator that never waits: it is asked when its socket is ready, and says what it waits for next.

Whatever goes wrong with it is ``ConnectionLost``. It is used once; what was read of it and not taken goes with it.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Optional

from tidegate.errors import TidegateError
from tidegate.worker.loop import READ, WRITE
from tidegate.worker.protocol import Lines, ProtocolError

READ_BYTES = 64 * 1024
ENOUGH_BYTES = 256 * 1024
"""Waiting to be sent: more can wait elsewhere."""


class ConnectionLost(TidegateError):
    """The connection is of no use any more, and why."""


class Connection:
    """One connection, from its first packet on."""

    def __init__(self, host: str, port: int, *, server_name: str, ca_file: str) -> None:
        try:
            self._context = _context(ca_file)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket: socket.socket = socket.socket(family, socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise ConnectionLost(f"{ca_file}: {error}") from None
        self._server_name = server_name
        self._tls: Optional[ssl.SSLSocket] = None
        self._lines = Lines()
        self._unsent = bytearray()
        self._wants = WRITE
        self.open = False
        """Whether lines can go through."""
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._check(self._socket.connect_ex((host, port)))
        except (OSError, ConnectionLost) as error:
            self.close()
            raise ConnectionLost(str(error)) from None

    @property
    def descriptor(self) -> int:
        """Of its socket."""
        return self._socket.fileno()

    @property
    def wants(self) -> int:
        """What its socket has to be ready for."""
        if not self.open:
            return self._wants
        return READ | (WRITE if self._unsent else 0)

    @property
    def takes_more(self) -> bool:
        """Whether little waits to be sent."""
        return len(self._unsent) < ENOUGH_BYTES

    def send(self, line: bytes) -> None:
        """Have a line sent. It is on its way when ``advance`` says no more."""
        self._unsent += line
        if self.open:
            self._flush()

    def advance(self) -> list[bytes]:
        """Go on; the lines that came. Nothing is taken of a connection that has ended: ConnectionLost."""
        try:
            if not self.open and not self._handshake():
                return []
            self._flush()
            return self._read()
        except (OSError, ProtocolError) as error:
            raise ConnectionLost(_words(error)) from None

    def close(self) -> None:
        """End it, with what was not read."""
        self.open = False
        self._socket.close()

    def _handshake(self) -> bool:
        if self._tls is None:
            self._check(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self._tls = self._context.wrap_socket(
                self._socket, server_hostname=self._server_name, do_handshake_on_connect=False
            )
            self._socket = self._tls
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._wants = READ
            return False
        except ssl.SSLWantWriteError:
            self._wants = WRITE
            return False
        self.open = True
        return True

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent[:READ_BYTES])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            except OSError as error:
                raise ConnectionLost(_words(error)) from None
            del self._unsent[:sent]

    def _read(self) -> list[bytes]:
        lines: list[bytes] = []
        while True:
            try:
                data = self._socket.recv(READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return lines
            if not data:
                raise ConnectionLost("the operator has closed the connection")
            lines += self._lines.feed(data)

    def _check(self, number: int) -> None:
        if number not in (0, errno.EINPROGRESS):
            raise ConnectionLost(os.strerror(number))


def _context(ca_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca_file)
    return context


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate isn't trusted: {error.verify_message}"
    if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
        return "the operator has closed the connection"
    return str(error) or type(error).__name__
