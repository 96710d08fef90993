"""Authorities of a test's own, and certificates of servers on loopback."""

import ssl
from pathlib import Path

from tidegate_cluster.pki import Authority, Certificate

HERE = ("IP:127.0.0.1", "DNS:localhost")


def make_authority(folder: Path) -> Authority:
    made = Authority(folder)
    made.create()
    return made


def server_certificate(authority: Authority, *, name: str = "server", names: tuple[str, ...] = HERE) -> Certificate:
    """Of a server on loopback, or one that another name leads to."""
    return authority.issue(name=name, subject=f"/CN={name}", names=names)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """What a server in this process shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context
