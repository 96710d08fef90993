"""Attempts: what is free, how the wait grows, and when a count begins again."""

import pytest
from tidegate_web.auth.attempt_limits import AttemptLimit, Count, SignInLimits, wait_seconds
from tidegate_web.auth.client_network import client_network

GROWING = AttemptLimit(key="k", free=3, window=900, longest_wait=30)
FIXED = AttemptLimit(key="k", free=3, window=900)


@pytest.mark.parametrize(("attempts", "wait"), [(2, 0), (3, 1), (4, 2), (5, 4), (7, 16), (8, 30), (1000, 30)])
def test_the_wait_doubles_up_to_its_bound(attempts: int, wait: float) -> None:
    assert wait_seconds(GROWING, Count(attempts=attempts, began=0, last=100), now=100) == wait


def test_a_fixed_number_is_refused_until_its_window_ends() -> None:
    count = Count(attempts=3, began=100, last=500)
    assert wait_seconds(FIXED, count, now=600) == 400
    assert wait_seconds(FIXED, count, now=1000) == 0


def test_a_growing_wait_counts_from_the_last_attempt() -> None:
    count = Count(attempts=20, began=0, last=500)
    assert wait_seconds(GROWING, count, now=510) == 20
    assert wait_seconds(GROWING, count, now=530) == 0
    assert wait_seconds(GROWING, None, now=530) == 0


def test_a_known_device_is_counted_by_itself_alone() -> None:
    limits = SignInLimits(attempts=3, network_attempts=9, attempts_a_minute=99, forgot_mails=2, window=900)
    assert [each.key for each in limits.sign_in(mail="m", network="n", device="d")] == ["known:d"]
    keys = [each.key for each in limits.sign_in(mail="m", network="n", device=None)]
    assert keys == ["pair:m:n", "mail:m", "login-network:n", "login-all"]
    assert not set(keys) & {each.key for each in (*limits.forgot(network="n"), *limits.forgot_mail(mail="m"))}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert client_network(address) == network
