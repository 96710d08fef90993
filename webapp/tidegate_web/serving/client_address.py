"""One name for a client's address, whatever stands before us: limits and the audit log go by it.

Proxies write ``[2001:db8::1]:4711`` and ``203.0.113.7:4711`` into ``X-Forwarded-For``, and ``::ffff:203.0.113.7`` for a client with IPv4
that came to a socket of both families. Of IPv6 one address has many spellings.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


def plain_address(text: str) -> str:
    """The address alone, as it is usually spelt; what is no address is left as it is."""
    found = _WITH_PORT.fullmatch(text.strip())
    bare = (found[1] or found[2] or "") if found else text.strip()
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return text
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)


class PlainClientAddress:
    """A WSGI app that sees plain addresses. It stands behind ``ProxyFix``, which takes them from headers."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR") or "")
        return self._app(environ, start_response)
