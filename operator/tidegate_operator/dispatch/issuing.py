"""Authorities and certificates of servers: pure functions, PEM in and out."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 365
RENEW_DAYS: Final = 60
"""Before its end a certificate is renewed."""
SLACK: Final = dt.timedelta(hours=1)
"""Clocks differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    @property
    def key_pem(self) -> str:
        return _key_pem(self.key)


def authority(data: Mapping[str, str], *, name: str, now: dt.datetime) -> Authority:
    """That of `ca.crt` and `ca.key` while it outlives what it signs; else a new one."""
    try:
        certificate = x509.load_pem_x509_certificate(data["ca.crt"].encode())
        key = serialization.load_pem_private_key(data["ca.key"].encode(), password=None)
    except (KeyError, ValueError):
        pass
    else:
        if isinstance(key, ec.EllipticCurvePrivateKey) and _days_left(certificate, now) > CERTIFICATE_DAYS:
            return Authority(certificate=certificate, key=key)
    return _new_authority(name, now)


def trust_of(made: Authority, *, before: str) -> str:
    """What clients trust: the authority, and the one before it, so that a rotation changes nothing for what was signed by that."""
    return made.pem if made.pem in before or not before else made.pem + before


def issue(signer: Authority, *, names: Sequence[str], now: dt.datetime) -> tuple[str, str]:
    """The certificate of a server by these names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(names[0][:64]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + dt.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return _pem(certificate), _key_pem(key)


def is_good(chain: str, *, names: Sequence[str], now: dt.datetime, signer: Authority | None = None) -> bool:
    """Whether a certificate has these names and more days than it takes to renew it; with `signer`, whether that signed it."""
    try:
        certificate = x509.load_pem_x509_certificate(chain.encode())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if signer is not None:
            certificate.verify_directly_issued_by(signer.certificate)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(names) <= set(found.get_values_for_type(x509.DNSName)) and _days_left(certificate, now) > RENEW_DAYS


def _days_left(certificate: x509.Certificate, now: dt.datetime) -> float:
    return (certificate.not_valid_after_utc - now).total_seconds() / 86_400


def _new_authority(common_name: str, now: dt.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
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
    return Authority(certificate=certificate, key=key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
