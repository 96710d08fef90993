"""dispatch/certificates: made once, renewed from the same authority, and one's own is left as it is."""

import asyncio
import base64
import datetime as dt
import socket
import ssl
import threading
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tidegate_operator.dispatch import certificates, issuing
from tidegate_operator.dispatch.certificates import CertificateError, read_or_make, server_context

HOST = "tidegate-dispatch.tidegate.svc"


class Secrets:
    """A Secret in the place of an apiserver."""

    def __init__(self, **data: str) -> None:
        self.body: dict[str, Any] = {"metadata": {"name": "s", "resourceVersion": "1"}}
        if data:
            self.body["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
        self.writes = 0

    async def get(self, path: str, shape: object, *, resource: str) -> Any:
        return self.body

    async def replace(self, path: str, body: Any, *, resource: str) -> Any:
        self.body, self.writes = body, self.writes + 1
        return body

    def text(self, name: str) -> str:
        return base64.b64decode(self.body["data"][name]).decode()


def read(secrets: Any, host: str = HOST) -> certificates.Certificate:
    return asyncio.run(read_or_make(secrets, namespace="n", secret="s", host=host))


def greeting(made: certificates.Certificate, *, trust: str, host: str = HOST) -> bytes:
    """What a client hears that trusts `trust` and asks for `host`. Raises ssl.SSLError."""
    server, client = socket.socketpair()
    client_context = ssl.create_default_context(cadata=trust)

    def serve() -> None:
        try:
            with server_context(made).wrap_socket(server, server_side=True) as tls:
                tls.sendall(b"hello")
        except OSError:
            server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client_context.wrap_socket(client, server_hostname=host) as tls:
            return tls.recv(5)
    finally:
        client.close()
        thread.join()


def test_an_empty_secret_is_filled_once() -> None:
    secrets = Secrets()
    made = read(secrets)
    assert read(secrets) == made
    assert secrets.writes == 1
    assert greeting(made, trust=made.trust) == b"hello"


def test_it_is_good_for_the_service_alone() -> None:
    made = read(Secrets())
    with pytest.raises(ssl.SSLError):
        greeting(made, trust=made.trust, host="other.example")


def test_a_renewal_keeps_the_authority_so_that_workers_trust_it(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets()
    before = read(secrets)
    monkeypatch.setattr(issuing, "RENEW_DAYS", issuing.CERTIFICATE_DAYS + 1)
    after = read(secrets)
    assert after.chain != before.chain
    assert after.trust == before.trust
    assert greeting(after, trust=before.trust) == b"hello"


def test_another_name_of_the_service_is_another_certificate() -> None:
    secrets = Secrets()
    before = read(secrets)
    after = read(secrets, host="other.tidegate.svc")
    assert after.chain != before.chain
    assert greeting(after, trust=before.trust, host="other.tidegate.svc") == b"hello"


def test_an_authority_near_its_end_is_followed_by_another_and_both_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets()
    before = read(secrets)
    monkeypatch.setattr(issuing, "CERTIFICATE_DAYS", issuing.AUTHORITY_DAYS)
    monkeypatch.setattr(issuing, "RENEW_DAYS", issuing.AUTHORITY_DAYS)
    after = read(secrets)
    assert after.trust.count("BEGIN CERTIFICATE") == 2
    assert before.trust in after.trust
    assert greeting(after, trust=after.trust) == b"hello"


def test_ones_own_certificate_is_used_as_it_is() -> None:
    made = read(Secrets())
    own = Secrets(**{"tls.crt": made.chain, "tls.key": made.key, "ca.crt": made.trust})
    assert read(own, host="any.other") == made
    assert own.writes == 0


def test_half_a_certificate_is_named() -> None:
    own = Secrets(**{"tls.crt": read(Secrets()).chain})
    with pytest.raises(CertificateError, match=r"tls\.key"):
        read(own)


@pytest.mark.parametrize(
    "text", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\ufffd"]
)
def test_what_is_no_certificate_is_named_and_not_served(text: str) -> None:
    own = Secrets(**{"tls.crt": text, "tls.key": read(Secrets()).key})
    with pytest.raises(CertificateError, match="no pair that can be used"):
        read(own)


def test_a_certificate_serves_and_does_not_last_for_ever() -> None:
    made = read(Secrets())
    (leaf,) = x509.load_pem_x509_certificates(made.chain.encode())
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    days = (leaf.not_valid_after_utc - leaf.not_valid_before_utc) / dt.timedelta(days=1)
    assert days <= 366
