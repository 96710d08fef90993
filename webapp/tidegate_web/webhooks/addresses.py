"""Where a webhook may lead: to the public internet, and to networks that the settings allow. Pure.

An admin of a project could else reach by a webhook what only pods of the cluster can: other services, nodes, the cloud's metadata.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 2000
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""What a NAT64 gateway turns into the IPv4 address in its last 32 bits (RFC 6052)."""

_INSIDE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(each)
    for each in (
        "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 7915)
        "64:ff9b:1::/48",  # NAT64 of a network's own (RFC 8215)
        "fec0::/10",  # site-local (RFC 3879)
        "192.0.0.0/24",  # for protocols (RFC 6890), and Oracle's metadata
        "168.63.129.16/32",  # what Azure serves to its machines, at an address that is public by its number
    )
)
"""Addresses that are global by the registries' word, or may pass for it, and lead inside."""


class BadUrlError(ValueError):
    """No URL that a webhook may have; the message says why."""


def parse_networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation, or ValueError."""
    return tuple(ipaddress.ip_network(name) for name in names)


def is_allowed(address: Address, *, allowed: Sequence[Network]) -> bool:
    """Whether to connect to this address. An IPv4 address in IPv6 clothes is judged as what it is."""
    plain = _plain(address)
    if any(plain.version == network.version and plain in network for network in allowed):
        return True
    if any(each.version == network.version and each in network for each in (address, plain) for network in _INSIDE):
        return False
    # Loopback, link-local, private, shared and reserved ranges are not global; multicast may be.
    return plain.is_global and not plain.is_multicast


def _plain(address: Address) -> Address:
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def check_url(url: str, *, allowed: Sequence[Network]) -> None:
    """Refuse what can't be right, before anything is sent. Names are looked up when something is."""
    if len(url) > LONGEST_URL or any(ord(sign) <= 32 or ord(sign) == 127 for sign in url):
        raise BadUrlError(f"must be at most {LONGEST_URL} signs, without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrlError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadUrlError("must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise BadUrlError("must not have a user or password")
    if parts.fragment:
        raise BadUrlError("must not have a fragment")
    if port == 0:
        raise BadUrlError("has no port that one can connect to")
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return
    if not is_allowed(literal, allowed=allowed):
        raise BadUrlError("leads to an address that webhooks may not go to")
