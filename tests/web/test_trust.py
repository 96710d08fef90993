"""Certificates of others: an authority of one's own is trusted where the settings name it, and no other is, by each way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support import tls
from support.forward_proxy import ForwardProxy
from support.mail import Mailbox
from support.oidc import CLIENT_SECRET, OidcProvider
from support.receiver import Receiver
from support.servers import Postgres, Redis, ensure_servers, wait_until
from support.web import EMAIL, Stack
from tidegate_cluster.pki import Authority, Certificate
from tidegate_web.app import make_redis
from tidegate_web.auth.mail import Mailer, MailError
from tidegate_web.settings import WebSettings
from tidegate_web.store.engine import make_engine

PEOPLE = {"ada": {"email": EMAIL, "email_verified": True, "name": "ada", "groups": []}}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """An authority whose certificate the servers show, and one that has to do with none of them."""

    right: Authority
    wrong: Authority
    shown: Certificate


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    folder = tmp_path_factory.mktemp("trust")
    right = tls.make_authority(folder / "right")
    return Trust(right=right, wrong=tls.make_authority(folder / "wrong"), shown=tls.server_certificate(right))


@pytest.fixture(scope="module")
def tls_postgres(trust: Trust) -> Iterator[Postgres]:
    ensure_servers()
    with Postgres(certificate=trust.shown) as server:
        yield server


@pytest.fixture(scope="module")
def provider(trust: Trust) -> Iterator[OidcProvider]:
    with OidcProvider(PEOPLE, certificate=trust.shown, authority=trust.right.ca) as server:
        yield server


def encrypted(url: str, *, ca_file: Path | None = None) -> bool:
    """Whether a connection with these settings is, as Postgres says."""
    engine = make_engine(WebSettings(database_url=url, ca_file=ca_file), name="tests")
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
            return bool(found.scalar_one())
    finally:
        engine.dispose()


def test_postgres_shows_a_certificate_of_an_authority_that_we_trust(tls_postgres: Postgres, trust: Trust) -> None:
    url = f"{tls_postgres.url()}?sslmode=verify-full"
    assert encrypted(url, ca_file=trust.right.ca)
    assert encrypted(f"{url}&sslrootcert={trust.right.ca}", ca_file=trust.wrong.ca), (
        "the URL says more than the setting"
    )
    for ca_file in (trust.wrong.ca, None):
        with pytest.raises(OperationalError, match="certificate verify failed"):
            encrypted(url, ca_file=ca_file)


@pytest.mark.parametrize("root", ["", "&sslrootcert=system"])
def test_without_one_of_ones_own_postgres_is_checked_by_the_systems(
    tls_postgres: Postgres, trust: Trust, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    url = f"{tls_postgres.url()}?sslmode=verify-full{root}"
    with pytest.raises(OperationalError, match="certificate verify failed"):
        encrypted(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(trust.right.ca))  # where Python and OpenSSL look for the system's
    assert encrypted(url)


def test_a_certificate_for_another_name_is_refused_with_verify_full(trust: Trust) -> None:
    other = tls.server_certificate(trust.right, name="other", names=("DNS:db.example",))
    with Postgres(certificate=other) as server:
        assert encrypted(f"{server.url()}?sslmode=verify-ca", ca_file=trust.right.ca)
        with pytest.raises(OperationalError, match="does not match host name"):
            encrypted(f"{server.url()}?sslmode=verify-full", ca_file=trust.right.ca)


def test_redis_shows_a_certificate_of_an_authority_that_we_trust(trust: Trust) -> None:
    with Redis(certificate=trust.shown) as server:

        def ping(ca_file: Path | None) -> bool:
            with make_redis(WebSettings(redis_url=server.url(), ca_file=ca_file)) as client:
                return bool(client.ping())

        assert server.url().startswith("rediss://")
        assert ping(trust.right.ca)
        for ca_file in (trust.wrong.ca, None):
            with pytest.raises(RedisConnectionError, match="certificate verify failed"):
                ping(ca_file)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_mail_server_shows_a_certificate_of_an_authority_that_we_trust(trust: Trust, security: str) -> None:
    with Mailbox(**{security: tls.server_context(trust.shown)}) as mailbox:

        def send(ca_file: Path | None) -> None:
            settings: dict[str, Any] = mailbox.settings()
            Mailer(WebSettings(ca_file=ca_file, **settings)).send(to=EMAIL, subject="s", text="t")

        for ca_file in (trust.wrong.ca, None):
            with pytest.raises(MailError):
                send(ca_file)
        assert not mailbox.mails
        send(trust.right.ca)
        assert mailbox.next()["To"] == EMAIL


@contextmanager
def signing_in(stack: Stack, provider: OidcProvider, **settings: Any) -> Iterator[Any]:
    """A browser at our app that signs in through this provider."""
    parts = stack.parts(
        "web",
        oidc_discovery_url=provider.discovery_url,
        oidc_client_id="tidegate",
        oidc_client_secret=CLIENT_SECRET,
        **settings,
    )
    with parts.client() as client:
        yield client


def sign_in(client: Any, provider: OidcProvider) -> None:
    """By the description, a token and the keys of the provider."""
    begun = client.get("/login/oidc")
    assert begun.status_code == 302, begun.text
    back = provider.sign_in(begun.headers["Location"], name="ada")
    assert client.get(back.removeprefix("http://localhost")).status_code == 303
    assert client.get("/api/v1/me").json["email"] == EMAIL


def test_a_sign_in_provider_shows_a_certificate_of_an_authority_that_we_trust(
    stack: Stack, provider: OidcProvider, trust: Trust
) -> None:
    with signing_in(stack, provider, ca_file=trust.right.ca) as client:
        sign_in(client, provider)
    for ca_file in (trust.wrong.ca, None):
        with signing_in(stack, provider, ca_file=ca_file) as client:
            assert client.get("/login/oidc").status_code == 503


def test_a_sign_in_provider_is_asked_through_the_proxy_of_the_environment(
    stack: Stack, provider: OidcProvider, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ForwardProxy() as proxy:
        with signing_in(stack, provider, ca_file=trust.right.ca) as client:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "")
            sign_in(client, provider)
            went = proxy.connected_to()
            assert set(went) == {f"127.0.0.1:{provider.port}"}
            assert len(went) >= 3, "the description, the token and the keys"
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            sign_in(client, provider)
            assert proxy.connected_to() == went
        with signing_in(stack, provider, ca_file=trust.wrong.ca) as client:
            monkeypatch.setenv("NO_PROXY", "")
            assert client.get("/login/oidc").status_code == 503
            assert len(proxy.connected_to()) > len(went)


def test_a_receiver_of_webhooks_shows_a_certificate_of_an_authority_that_we_trust_and_no_proxy_is_asked(
    stack: Stack, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = stack.parts("web", webhook_allow=["127.0.0.0/8"]).sign_in()
    context = tls.server_context(trust.shown)
    with Receiver(tls=context) as receiver, ForwardProxy() as proxy:
        assert urlsplit(receiver.url).scheme == "https"
        made: Any = me.post("webhooks", {"url": receiver.url}).json

        def tried(ca_file: Path | None) -> Any:
            """What became of a delivery's first attempt."""
            mirror = stack.mirror(webhook_allow=["127.0.0.0/8"], ca_file=ca_file)

            def newest() -> Any:
                answer: Any = me.get(f"webhooks/{made['id']}/deliveries").json
                return answer["items"][0]

            with monkeypatch.context() as patch:  # its way to the apiserver is chosen
                patch.setenv("HTTPS_PROXY", proxy.url)
                patch.setenv("NO_PROXY", "")
                assert me.post(f"webhooks/{made['id']}:test").status_code == 202
                wait_until(lambda: newest()["attempts"] == 1, what="an attempt")
                mirror.end()
            return newest()

        for ca_file in (trust.wrong.ca, None):
            assert "certificate isn't trusted" in tried(ca_file)["lastError"]
        assert not receiver.received
        assert tried(trust.right.ca)["state"] == "delivered"
        assert receiver.received
        assert proxy.connected_to() == []


def test_a_file_without_certificates_is_refused_with_the_name_of_the_setting(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    for file in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ValidationError, match=rf"ca_file[\s\S]*{file.name}: no certificates in PEM can be read"):
            WebSettings(ca_file=file)
