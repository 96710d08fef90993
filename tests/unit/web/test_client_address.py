"""What a client's address is taken for."""

import pytest
from tidegate_web.auth.client_network import client_network
from tidegate_web.serving.client_address import PlainClientAddress, plain_address


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("unknown", "unknown"),
        ("_hidden:80", "_hidden:80"),
        ("[", "["),
        ("", ""),
    ],
)
def test_an_address_has_one_spelling(written: str, plain: str) -> None:
    assert plain_address(written) == plain


def test_what_proxies_write_is_counted_by_its_network() -> None:
    assert client_network(plain_address("[2001:db8:0:1::99]:4711")) == "2001:db8:0:1::/64"


def test_the_app_sees_it() -> None:
    seen = []

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        seen.append(environ["REMOTE_ADDR"])
        return []

    for environ in ({"REMOTE_ADDR": "[2001:db8::1]:4711"}, {}):
        PlainClientAddress(app)(environ, lambda *_: lambda _: None)
    assert seen == ["2001:db8::1", ""]
