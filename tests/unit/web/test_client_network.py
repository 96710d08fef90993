"""Which clients count as one."""

import pytest
from tidegate_web.client_network import client_network


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("unix:", "unix:"),
        ("x" * 500, "x" * 64),
    ],
)
def test_an_ipv4_address_and_a_64_of_ipv6_count_as_one_client(address: str | None, network: str) -> None:
    assert client_network(address) == network
