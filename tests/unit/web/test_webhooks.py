"""Webhooks' pure parts: signatures, when to try again, and where one may lead."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from tidegate_web.webhooks.addresses import BadUrlError, check_url, is_allowed, parse_networks
from tidegate_web.webhooks.retries import DELAYS, next_attempt
from tidegate_web.webhooks.sealing import Sealer
from tidegate_web.webhooks.signing import headers, new_secret, signature

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_signature_is_the_one_of_the_specifications_example() -> None:
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_is_another_and_signs_otherwise() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    one, other = (headers(secret, message_id="m", timestamp=1, body=b"{}") for secret in (first, second))
    assert one["webhook-signature"] != other["webhook-signature"]
    assert set(one) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_attempts_come_further_apart_and_end() -> None:
    times = [next_attempt(attempts=number, now=NOW, jitter=0) for number in range(1, len(DELAYS) + 2)]
    assert times[:3] == [NOW + timedelta(seconds=delay) for delay in (5, 300, 1800)]
    waits = [(after - NOW).total_seconds() for after in times if after is not None]
    assert waits == sorted(waits)
    assert waits[-1] == 24 * 3600
    assert 3 * 24 * 3600 <= sum(waits) < 3.5 * 24 * 3600  # a receiver may be down over a weekend
    assert times[-1] is None
    assert next_attempt(attempts=1, now=NOW, jitter=1) == NOW + timedelta(seconds=5.5)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.96.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "ff02::1",
     "64:ff9b::7f00:1", "64:ff9b::a60:1", "::10.0.0.1", "::8.8.8.8", "::ffff:0:10.0.0.1", "::ffff:0:8.8.8.8",
     "64:ff9b:1::a00:1", "fec0::1", "feff::1", "168.63.129.16", "::ffff:168.63.129.16", "100.100.100.200",
     "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
)  # fmt: skip
def test_addresses_inside_are_refused_unless_they_are_allowed(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not is_allowed(parsed, allowed=())
    assert is_allowed(parsed, allowed=parse_networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_fine(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), allowed=())


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://example.com/#x",
     "https://example.com:0/", "https://example.com:99999/", "https://exa mple.com", "https://example.com/\n",
     "http://127.0.0.1/", "http://[::1]:8080/", "http://169.254.169.254/latest", "https://e.com/" + "x" * 2000],
)  # fmt: skip
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(BadUrlError):
        check_url(url, allowed=())


def test_urls_that_can_be() -> None:
    check_url("https://example.com/hooks?x=1", allowed=())
    check_url("http://10.1.2.3:8080/", allowed=parse_networks(["10.1.0.0/16"]))


def test_a_sealed_secret_opens_with_its_own_key_alone() -> None:
    sealed = Sealer("k" * 40).seal("whsec_x")
    assert b"whsec" not in sealed
    assert Sealer("k" * 40).open(sealed) == "whsec_x"
    assert Sealer("another" * 8).open(sealed) is None
