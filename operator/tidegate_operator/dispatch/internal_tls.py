"""TLS between the parts of the release, while this replica leads: the Secrets that it fills, its own certificate at the port that says
what runs wait for, and the authority of the web app that pods of runs get.

One authority signs for all parts; its key is in a Secret that no pod has. A part's Secret has its certificate, its key and what is to be
trusted, and is mounted by the part; those who connect to it mount `ca.crt` of it alone. Secrets that the settings don't name are
someone else's (cert-manager's, or one's own), and are read alone.
"""

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from tidegate_operator.dispatch import issuing
from tidegate_operator.dispatch.certificates import CertificateError, read, read_secret, write_secret
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED, NotLeadingError
from tidegate_operator.settings import OperatorSettings

RETRY_SECONDS: Final = 5.0
REREAD_SECONDS: Final = 600.0
FIRST_PAUSE_SECONDS: Final = 1.0
FIRST_TRIES: Final = 30
"""So often it is asked for the authority that pods of runs need, before any is started."""
FAILED: Final = (*REQUEST_FAILED, CertificateError, NotLeadingError, ssl.SSLError)
AUTHORITY: Final = "tidegate-internal-ca"


class InternalTls:
    """What the settings name, kept fresh by `run`."""

    def __init__(self, client: KubeClient, *, settings: OperatorSettings, on_trust: Callable[[], None]) -> None:
        """`on_trust` is called when what pods have to trust has changed."""
        self._client, self._settings, self._on_trust = client, settings, on_trust
        self.why_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if settings.why_tls_secret else None
        """Of the port that says what runs wait for. Handshakes fail until its certificate is there."""
        if self.why_context is not None:
            self.why_context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.api_trust = ""
        """Those who may have signed the web app's certificate, PEM; empty without TLS there, and until it is known."""
        self._problem = ""
        self._log = structlog.get_logger(__name__)

    @property
    def is_known(self) -> bool:
        """Whether pods can be given what they need."""
        return bool(self.api_trust) or not self._settings.api_tls_secret

    async def begin(self) -> None:
        """Until all is there, and for a limited time: an authority that can't be had is no reason not to lead."""
        for _ in range(FIRST_TRIES):
            if await self._refresh():
                return
            await asyncio.sleep(FIRST_PAUSE_SECONDS)

    async def run(self) -> None:
        """For ever: renew what is ours, and take up what others have renewed."""
        while True:
            good = await self._refresh()
            await asyncio.sleep(REREAD_SECONDS if good else RETRY_SECONDS)

    async def _refresh(self) -> bool:
        try:
            await self._fill()
            await self._read()
        except FAILED as error:
            if (problem := str(error) or repr(error)) != self._problem:
                self._log.warning("TLS between the parts: a certificate can't be had", error=problem)
            self._problem = problem
            return False
        self._problem = ""
        return True

    async def _fill(self) -> None:
        settings = self._settings
        if wanted := settings.internal_names:
            await fill(
                self._client,
                namespace=settings.lease_namespace,
                authority=settings.internal_ca_secret,
                wanted=wanted,
            )

    async def _read(self) -> None:
        settings = self._settings
        if self.why_context is not None:
            found = await read(self._client, namespace=settings.lease_namespace, secret=settings.why_tls_secret)
            found.into(self.why_context)
        if settings.api_tls_secret:
            found = await read(self._client, namespace=settings.lease_namespace, secret=settings.api_tls_secret)
            if found.trust != self.api_trust:
                self.api_trust = found.trust
                self._on_trust()


async def fill(client: KubeClient, *, namespace: str, authority: str, wanted: Mapping[str, Sequence[str]]) -> None:
    """Make and renew certificates: `wanted` has the names of a server by its Secret. Raises KubeError."""
    now = dt.datetime.now(dt.UTC)
    path, body, data = await read_secret(client, namespace=namespace, secret=authority)
    signer = issuing.authority(data, name=AUTHORITY, now=now)
    trust = issuing.trust_of(signer, before=data.get("ca.crt", ""))
    if data.get("ca.crt") != trust or data.get("ca.key") != signer.key_pem:
        await write_secret(client, path, body, {"ca.crt": trust, "ca.key": signer.key_pem})
    for secret, names in wanted.items():
        path, body, data = await read_secret(client, namespace=namespace, secret=secret)
        good = issuing.is_good(data.get("tls.crt", ""), names=names, now=now, signer=signer)
        if good and data.get("tls.key") and data.get("ca.crt") == trust:
            continue
        chain, key = (
            (data["tls.crt"], data["tls.key"])
            if good and data.get("tls.key")
            else issuing.issue(signer, names=names, now=now)
        )
        await write_secret(client, path, body, {"tls.crt": chain, "tls.key": key, "ca.crt": trust})
