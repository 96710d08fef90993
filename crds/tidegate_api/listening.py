"""Where a process of Tidegate listens: at all addresses of its pod, whichever of IPv4 and IPv6 the cluster gave it.

A socket for each family, and none for both: a client with IPv4 would else be seen as ``::ffff:203.0.113.7``, another name than the one
by which audit log, limits and trusted proxies know it.
"""

import errno
import socket

_NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""What a host without the family answers."""
_TRIES = 10


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """Bound to `host`, or where that is empty to all addresses of each family that the host has. Port 0: a free one, of all."""
    if host:
        return [_bound(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)]
    for _ in range(_TRIES):
        made = _everywhere(port)
        if made:
            return made
    raise OSError(errno.EADDRINUSE, f"no port is free for both IPv4 and IPv6 (asked for {port})")


def _everywhere(port: int) -> list[socket.socket]:
    """One for each family; none where the port that was chosen for the first is taken for the second."""
    made: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - a pod's own addresses
        chosen = made[0].getsockname()[1] if made else port
        try:
            made.append(_bound(family, address, chosen))
        except OSError as error:
            if error.errno in _NOT_HERE:
                missing = error
                continue
            for each in made:
                each.close()
            if port == 0 and error.errno == errno.EADDRINUSE:
                return []
            raise
    if not made and missing is not None:
        raise missing
    return made


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made
