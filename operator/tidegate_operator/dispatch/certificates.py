"""The certificate of the dispatch port, in a Secret: one's own, or made here once.

The chart makes the Secret empty and the operator fills it: an authority of its own and a certificate that is renewed from it, so
that a renewal changes nothing for the workers. A Secret without `ca.key` is someone else's (cert-manager's, or one's own): it is
used as it is, and read again now and then.
"""

import base64
import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tidegate_api.objects import KubeObject

from tidegate_operator.kube.client import KubeClient

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 365
RENEW_DAYS: Final = 60
"""Before its end a certificate is renewed."""
SLACK: Final = dt.timedelta(hours=1)
"""Clocks differ."""


class _Secret(KubeObject, total=False):
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
    path = f"/api/v1/namespaces/{namespace}/secrets/{secret}"
    body = await client.get(path, _Secret, resource="secrets")
    data = {name: _decoded(text) for name, text in (body.get("data") or {}).items()}
    now = dt.datetime.now(dt.UTC)
    own = not data.get("tls.crt") or "ca.key" in data
    if own and not _is_good(data, host=host, now=now):
        data |= _make(data, host=host, now=now)
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        # Its resourceVersion guards it: of two operators one makes the certificate.
        await client.replace(path, {**body, "data": encoded}, resource="secrets")
    if not data.get("tls.key") or not data.get("tls.crt"):
        raise CertificateError(f"Secret {namespace}/{secret} needs tls.crt and tls.key")
    trust = data.get("ca.crt") or data["tls.crt"]
    return Certificate(chain=data["tls.crt"], key=data["tls.key"], trust=trust)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("ascii", "replace")


def _is_good(data: dict[str, str], *, host: str, now: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(data["tls.crt"].encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (KeyError, ValueError, x509.ExtensionNotFound):
        return False
    return host in names.get_values_for_type(x509.DNSName) and _days_left(certificate, now) > RENEW_DAYS


def _days_left(certificate: x509.Certificate, now: dt.datetime) -> float:
    return (certificate.not_valid_after_utc - now).total_seconds() / 86_400


def _make(data: dict[str, str], *, host: str, now: dt.datetime) -> dict[str, str]:
    authority = _authority(data, now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(host[:64]))
        .issuer_name(authority[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + dt.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority[1].public_key()), critical=False)
        .sign(authority[1], hashes.SHA256())
    )
    trust = _pem(authority[0])
    # The one before stays trusted: a rotation rolls no pool.
    before = data.get("ca.crt", "")
    return {
        "ca.key": _key_pem(authority[1]),
        "ca.crt": trust if trust in before or not before else trust + before,
        "tls.crt": _pem(certificate),
        "tls.key": _key_pem(key),
    }


def _authority(data: dict[str, str], *, now: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The one that is there while it outlives what it signs; else a new one."""
    try:
        certificate = x509.load_pem_x509_certificate(data["ca.crt"].encode())
        key = serialization.load_pem_private_key(data["ca.key"].encode(), password=None)
    except (KeyError, ValueError):
        pass
    else:
        if isinstance(key, ec.EllipticCurvePrivateKey) and _days_left(certificate, now) > CERTIFICATE_DAYS:
            return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("tidegate-dispatch-ca")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + dt.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
