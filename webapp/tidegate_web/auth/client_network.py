"""The network that a client's address stands for where attempts are counted. Pure.

A client with IPv6 has 2^64 addresses to come from, so these are counted by their /64; an IPv4 address is counted alone.
"""

import ipaddress

IPV6_PREFIX = 64


def client_network(address: str) -> str:
    """``203.0.113.7``, ``2001:db8:0:1::/64``; ``unknown`` for what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
