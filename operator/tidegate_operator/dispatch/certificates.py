"""The certificate of the dispatch port, in a Secret: one's own, or made here once.

The chart makes the Secret empty and the operator fills it: an authority of its own and a certificate that is renewed from it, so
that a renewal changes nothing for the workers. A Secret without `ca.key` is someone else's (cert-manager's, or one's own): it is
used as it is, and read again now and then.
"""

import base64
import datetime as dt
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate_api.objects import KubeObject

from tidegate_operator.dispatch import issuing
from tidegate_operator.kube.client import KubeClient


class Secret(KubeObject, total=False):
    """What is asked of one."""

    data: dict[str, str]


class CertificateError(Exception):
    """The Secret's content is of no use; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the port is served with, PEM."""

    chain: str
    key: str
    trust: str
    """Those who may have signed it: what workers trust."""

    def into(self, context: ssl.SSLContext) -> None:
        """Serve new connections with it."""
        with tempfile.TemporaryDirectory() as folder:
            # The ssl module reads certificates from files alone.
            chain, key = Path(folder, "chain"), Path(folder, "key")
            chain.write_text(self.chain, encoding="ascii")
            key.touch(mode=0o600)
            key.write_text(self.key, encoding="ascii")
            context.load_cert_chain(chain, key)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """TLS as the port speaks it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate.into(context)
    return context


async def read_or_make(client: KubeClient, *, namespace: str, secret: str, host: str) -> Certificate:
    """The certificate in the Secret, made or renewed where that is the operator's. Raises KubeError or CertificateError."""
    path, body, data = await read_secret(client, namespace=namespace, secret=secret)
    now = dt.datetime.now(dt.UTC)
    own = not data.get("tls.crt") or "ca.key" in data
    if own and not issuing.is_good(data.get("tls.crt", ""), names=[host], now=now):
        signer = issuing.authority(data, name="tidegate-dispatch-ca", now=now)
        chain, key = issuing.issue(signer, names=[host], now=now)
        trust = issuing.trust_of(signer, before=data.get("ca.crt", ""))  # a rotation rolls no pool
        data |= {"ca.key": signer.key_pem, "ca.crt": trust, "tls.crt": chain, "tls.key": key}
        await write_secret(client, path, body, data)
    return _certificate(data, f"{namespace}/{secret}")


async def read(client: KubeClient, *, namespace: str, secret: str) -> Certificate:
    """Read the certificate from a Secret. Raises KubeError or CertificateError."""
    _, _, data = await read_secret(client, namespace=namespace, secret=secret)
    return _certificate(data, f"{namespace}/{secret}")


async def read_secret(client: KubeClient, *, namespace: str, secret: str) -> tuple[str, Secret, dict[str, str]]:
    """Its path, the Secret, and its data as text."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{secret}"
    body = await client.get(path, Secret, resource="secrets")
    return path, body, {name: _decoded(text) for name, text in (body.get("data") or {}).items()}


async def write_secret(client: KubeClient, path: str, body: Secret, data: Mapping[str, str]) -> None:
    """Replace its data. Its resourceVersion guards it: of two operators one makes a certificate."""
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    await client.replace(path, {**body, "data": encoded}, resource="secrets")


def _certificate(data: Mapping[str, str], secret: str) -> Certificate:
    if not data.get("tls.key") or not data.get("tls.crt"):
        raise CertificateError(f"Secret {secret} needs tls.crt and tls.key")
    made = Certificate(chain=data["tls.crt"], key=data["tls.key"], trust=data.get("ca.crt") or data["tls.crt"])
    try:
        server_context(made)
    except (ssl.SSLError, ValueError) as error:  # before a port is served with it, which would end there
        raise CertificateError(f"Secret {secret}: tls.crt and tls.key are no pair that can be used: {error}") from error
    return made


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("ascii", "replace")
