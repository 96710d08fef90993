"""One POST to a webhook's receiver: to an address that was checked, without redirects, within a bound of time."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3

from tidegate_web.webhooks.addresses import Network, is_allowed

SECONDS = 15.0
"""How long a receiver may take to answer."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt. ``status`` is None when nobody answered."""

    status: int | None = None
    error: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver wants no more (410)."""
        return self.status == 410


def post(url: str, *, body: bytes, headers: dict[str, str], allowed: Sequence[Network]) -> Outcome:
    """Send. The name is looked up once, and the connection goes to the very address that was checked."""
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
    timeout = urllib3.Timeout(total=SECONDS)
    if tls:
        pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
            good[0], port, timeout=timeout, maxsize=1, server_hostname=host, assert_hostname=host
        )
    else:
        pool = urllib3.HTTPConnectionPool(good[0], port, timeout=timeout, maxsize=1)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = headers | {"Host": parts.netloc, "Content-Type": "application/json", "User-Agent": "tidegate-webhooks"}
    try:
        answer = pool.request(
            "POST", target, body=body, headers=sent, redirect=False, retries=False, preload_content=False
        )
        status = answer.status
        answer.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return Outcome(error=_words(error))
    finally:
        pool.close()
    if 200 <= status < 300:
        return Outcome(status=status)
    return Outcome(status=status, error=f"The receiver answers {status}.")


def _words(error: Exception) -> str:
    """What went wrong, without addresses of ours or traces."""
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"The receiver didn't answer within {SECONDS:.0f} s."
    if isinstance(error, urllib3.exceptions.SSLError):
        return "The receiver's certificate isn't trusted, or TLS fails otherwise."
    return "The receiver can't be reached, or broke the connection."
