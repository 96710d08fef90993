"""Certificates of a cluster's own authority. Elliptic keys, because eight RSA keys take longer than all else in `up`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commands

# Without a configuration of ours OpenSSL adds its distribution's extensions, which make every certificate an authority.
_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority with its files in one directory."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def service_account_key(self) -> Path:
        return self.directory / "sa.key"

    @property
    def service_account_public_key(self) -> Path:
        return self.directory / "sa.pub"

    def create(self) -> None:
        """Make the authority and the key pair that signs service account tokens."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.directory / "openssl.cnf").write_text(_CONFIG)
        # Python 3.13 and newer refuse an authority without these three.
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash")
        self._request(name="ca", subject="/CN=tidegate-ca", extensions=extensions, signed=False)
        key, public = self.service_account_key, self.service_account_public_key
        commands.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        commands.run("openssl", "ec", "-in", key, "-pubout", "-out", public)

    def issue(self, *, name: str, subject: str, names: Sequence[str] = ()) -> Certificate:
        """Make NAME.crt and NAME.key for a subject, with alternative names such as DNS:localhost or IP:127.0.0.1."""
        extensions = ["authorityKeyIdentifier=keyid", "extendedKeyUsage=clientAuth,serverAuth"]
        if names:
            extensions.append("subjectAltName=" + ",".join(names))
        self._request(name=name, subject=subject, extensions=extensions, signed=True)
        return Certificate(certificate=self.directory / f"{name}.crt", key=self.directory / f"{name}.key")

    def _request(self, *, name: str, subject: str, extensions: Sequence[str], signed: bool) -> None:
        added = [word for extension in extensions for word in ("-addext", extension)]
        signer: list[str | Path] = ["-CA", self.ca, "-CAkey", self.directory / "ca.key"] if signed else []
        files = ("-keyout", self.directory / f"{name}.key", "-out", self.directory / f"{name}.crt")
        config = ("-config", self.directory / "openssl.cnf")
        commands.run("openssl", "req", "-x509", *_NEW_KEY, *files, *config, "-subj", subject, *added, *signer)
