"""The certificate of a server, in files that others renew: each handshake has the one that is there then.

A mounted Secret is replaced by the kubelet as a whole. A pair that can't be read leaves the one before in use: better one that ends
soon than none.
"""

import selectors
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final

import structlog

HANDSHAKE_SECONDS: Final = 5.0

log = structlog.stdlib.get_logger(__name__)


class TlsFiles:
    """`tls.crt` and `tls.key` of a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError (ssl.SSLError is one) when they aren't there or no pair."""
        self._chain, self._key = folder / "tls.crt", folder / "tls.key"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._lock = threading.Lock()
        self._seen = self._state()
        self._context.load_cert_chain(self._chain, self._key)

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        with self._lock:
            try:
                state = self._state()
                if state != self._seen:
                    self._seen = state
                    self._context.load_cert_chain(self._chain, self._key)
                    log.info("a renewed certificate is in use", file=str(self._chain))
            except OSError as error:
                log.warning("a renewed certificate can't be read", file=str(self._chain), error=str(error))
            return self._context

    def accept(self, plain: socket.socket) -> ssl.SSLSocket:
        """Do the handshake; the connection is blocking then. Raises OSError, also where the handshake takes too long."""
        until = time.monotonic() + HANDSHAKE_SECONDS
        plain.setblocking(False)
        made = self.context().wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(made, selectors.EVENT_READ)
                while not _shaken(made, ready):
                    if not ready.select(max(0.0, until - time.monotonic())):
                        raise TimeoutError("a TLS handshake took too long")
        except BaseException:
            made.close()
            raise
        made.setblocking(True)
        return made

    def _state(self) -> tuple[tuple[int, int], ...]:
        return tuple((each.st_ino, each.st_mtime_ns) for each in (self._chain.stat(), self._key.stat()))


def _shaken(connection: ssl.SSLSocket, ready: selectors.BaseSelector) -> bool:
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        ready.modify(connection, selectors.EVENT_READ)
        return False
    except ssl.SSLWantWriteError:
        ready.modify(connection, selectors.EVENT_WRITE)
        return False
    return True
