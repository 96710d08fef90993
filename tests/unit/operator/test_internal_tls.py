"""dispatch/internal_tls: certificates of the parts, by one authority whose key no part gets."""

import asyncio
import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from tidegate_operator.dispatch import issuing
from tidegate_operator.dispatch.internal_tls import fill
from tidegate_operator.settings import OperatorSettings

WANTED = {"web-tls": ["tidegate-internal.tidegate.svc", "tidegate-internal"], "redis-tls": ["tidegate-redis"]}


class Secrets:
    """Empty Secrets in the place of an apiserver."""

    def __init__(self, *names: str) -> None:
        self.bodies: dict[str, Any] = {name: {"metadata": {"name": name}} for name in names}
        self.writes: list[str] = []

    async def get(self, path: str, shape: object, *, resource: str) -> Any:
        return self.bodies[path.rpartition("/")[2]]

    async def replace(self, path: str, body: Any, *, resource: str) -> Any:
        name = path.rpartition("/")[2]
        self.bodies[name] = body
        self.writes.append(name)
        return body

    def data(self, name: str) -> dict[str, str]:
        return {key: base64.b64decode(text).decode() for key, text in self.bodies[name]["data"].items()}


def filled(secrets: Any) -> Any:
    asyncio.run(fill(secrets, namespace="n", authority="ca", wanted=WANTED))
    return secrets


@pytest.fixture
def secrets() -> Any:
    return filled(Secrets("ca", *WANTED))


def signer(secrets: Any) -> x509.Certificate:
    return x509.load_pem_x509_certificate(secrets.data("ca")["ca.crt"].encode())


def test_each_part_has_a_certificate_of_its_names_and_none_the_key_of_the_authority(secrets: Any) -> None:
    assert set(secrets.data("ca")) == {"ca.crt", "ca.key"}
    for name, names in WANTED.items():
        data = secrets.data(name)
        assert set(data) == {"tls.crt", "tls.key", "ca.crt"}
        certificate = x509.load_pem_x509_certificate(data["tls.crt"].encode())
        certificate.verify_directly_issued_by(signer(secrets))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == names
        assert data["ca.crt"] == secrets.data("ca")["ca.crt"]


def test_what_is_good_stays_as_it_is(secrets: Any) -> None:
    secrets.writes.clear()
    assert filled(secrets).writes == []


def test_a_certificate_that_ends_soon_is_renewed_by_the_same_authority(
    secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, authority = secrets.data("web-tls"), secrets.data("ca")
    monkeypatch.setattr(issuing, "RENEW_DAYS", issuing.CERTIFICATE_DAYS + 1)
    filled(secrets)
    assert secrets.data("web-tls")["tls.crt"] != before["tls.crt"]
    assert secrets.data("web-tls")["ca.crt"] == before["ca.crt"]
    assert secrets.data("ca") == authority


def test_another_authority_signs_all_again_and_the_one_before_stays_trusted(
    secrets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signer(secrets)
    monkeypatch.setattr(issuing, "CERTIFICATE_DAYS", issuing.AUTHORITY_DAYS)
    filled(secrets)
    assert signer(secrets) != before
    for name in WANTED:
        data = secrets.data(name)
        x509.load_pem_x509_certificate(data["tls.crt"].encode()).verify_directly_issued_by(signer(secrets))
        trusted = x509.load_pem_x509_certificates(data["ca.crt"].encode())
        assert trusted == [signer(secrets), before]


def test_a_part_whose_names_have_changed_gets_another_certificate(secrets: Any) -> None:
    asyncio.run(fill(secrets, namespace="n", authority="ca", wanted={"redis-tls": ["other-redis"]}))
    chain = secrets.data("redis-tls")["tls.crt"]
    assert issuing.is_good(chain, names=["other-redis"], now=dt.datetime.now(dt.UTC))


def test_the_setting_says_which_secrets_are_filled_and_by_which_names() -> None:
    settings = OperatorSettings(internal_certificates="web-tls=a.svc|a, redis-tls=b")
    assert settings.internal_names == {"web-tls": ["a.svc", "a"], "redis-tls": ["b"]}
    for text in ("web-tls", "web-tls=", "=a", "web-tls=a|"):
        with pytest.raises(ValueError, match="secret=name"):
            OperatorSettings(internal_certificates=text)
