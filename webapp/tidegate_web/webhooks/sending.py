"""One POST to a webhook's receiver: to an address that was checked, without redirects, within a bound of wall-clock time.

A socket's timeout is one of a single read: a receiver that sends a byte now and then would hold its sender for as long as it
likes. So the socket is shut down when the time is over, whatever goes on.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tidegate_web.shared.trust import tls_context
from tidegate_web.webhooks.addresses import Network, is_allowed

SECONDS = 15.0
"""How long a receiver may take for everything: the connection, TLS and its answer."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt. ``status`` is None without an answer."""

    status: int | None = None
    error: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no more (410)."""
        return self.status == 410


class WallClock:
    """Shuts a connection down once its time is over. Used as a context: the time ends with it."""

    def __init__(self, seconds: float) -> None:
        self.is_over = threading.Event()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def watch(self, connected: socket.socket) -> None:
        """This is the connection now."""
        with self._lock:
            self._socket = connected
        if self.is_over.is_set():
            self._shut_down()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _end(self) -> None:
        self.is_over.set()
        self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            if self._socket is None:
                return
            # Of the plain socket: that of TLS would take its state away from the thread that reads.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def post(
    url: str,
    *,
    body: bytes,
    headers: dict[str, str],
    allowed: Sequence[Network],
    ca_file: Path | None = None,
    seconds: float = SECONDS,
) -> Outcome:
    """Send. The name is looked up once, and the connection goes to the very address that was checked. Never through a proxy, which
    would look the name up itself and reach what we refuse."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Outcome(error="The host's name can't be resolved.")
    addresses = [str(each[4][0]) for each in found]
    good = [a for a in addresses if is_allowed(ipaddress.ip_address(a.partition("%")[0]), allowed=allowed)]
    if not good:
        return Outcome(error="The host's address is one that webhooks may not go to.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = headers | {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "tidegate-webhooks",
        "Connection": "close",
    }
    with WallClock(seconds) as clock:
        try:
            connection = http.client.HTTPConnection(host, port)
            context = tls_context(ca_file) if tls else None
            connection.sock = _connected(good[0], port, host=host, context=context, clock=clock, seconds=seconds)
            connection.request("POST", target, body=body, headers=sent)
            status = connection.getresponse().status
        except (http.client.HTTPException, OSError, ValueError) as error:
            return Outcome(error=_words(error, late=clock.is_over.is_set(), seconds=seconds))
        if clock.is_over.is_set():  # headers that were cut off look like headers that end
            return Outcome(error=_late(seconds))
    if 200 <= status < 300:
        return Outcome(status=status)
    return Outcome(status=status, error=f"The receiver answers {status}.")


def _connected(
    address: str, port: int, *, host: str, context: ssl.SSLContext | None, clock: WallClock, seconds: float
) -> socket.socket:
    plain = socket.create_connection((address, port), timeout=seconds)
    clock.watch(plain)
    if context is None:
        return plain
    wrapped = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    clock.watch(wrapped)
    wrapped.do_handshake()
    return wrapped


def _late(seconds: float) -> str:
    return f"The receiver didn't answer within {seconds:.0f} s."


def _words(error: Exception, *, late: bool, seconds: float) -> str:
    """What went wrong, without addresses of ours or traces."""
    if late or isinstance(error, TimeoutError):
        return _late(seconds)
    if isinstance(error, ssl.SSLError):
        return "The receiver's certificate isn't trusted, or TLS fails otherwise."
    return "The receiver can't be reached, or broke the connection."
