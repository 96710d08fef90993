"""Which clients count as one where their calls are limited: an IPv4 address, or a /64 of IPv6, which one host can use at will. Pure."""

import ipaddress

IPV6_PREFIX = 64


def client_network(address: str | None) -> str:
    """The network that a client's address stands for; what is no address stands for itself, cut to 64 signs."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return (address or "unknown")[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
