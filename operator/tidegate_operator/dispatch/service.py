"""The dispatch port under the Lease: its certificate comes up with it, and is read again while it runs.

A certificate that can't be had is no reason not to lead: runs with pods of their own go on, and pools say what is wrong.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import structlog

from tidegate_operator.dispatch.certificates import Certificate, CertificateError, read_or_make, server_context
from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.dispatch.identity import Identifier
from tidegate_operator.dispatch.internal_tls import InternalTls
from tidegate_operator.dispatch.server import DispatchServer, Listener
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED, NotLeadingError
from tidegate_operator.manifests.pool import PoolSpecError, WorkerDefaults
from tidegate_operator.metrics import Metrics
from tidegate_operator.settings import OperatorSettings

RETRY_SECONDS: Final = 5.0
REREAD_SECONDS: Final = 600.0
FAILED: Final = (*REQUEST_FAILED, CertificateError, NotLeadingError, ssl.SSLError)


class DispatchService:
    """Workers can connect while `run` runs and a certificate is there."""

    def __init__(
        self,
        client: KubeClient,
        *,
        settings: OperatorSettings,
        tls: InternalTls,
        guard: Callable[[], None],
        metrics: Metrics,
        on_trust: Callable[[], None],
    ) -> None:
        """`on_trust` is called when what workers have to trust has changed."""
        self._client, self._settings, self._guard, self._metrics = client, settings, guard, metrics
        self._tls, self._on_trust = tls, on_trust
        self._certificate: Certificate | None = None
        self._problem = "the certificate of the dispatch port has not been read yet"
        self._server: DispatchServer | None = None
        self._log = structlog.get_logger(__name__)

    def find(self, pod_uid: str) -> Connection | None:
        """The connection of a worker that has said what it holds."""
        return self._server.find(pod_uid) if self._server is not None else None

    def connected(self, pod_uid: str) -> Connection | None:
        """The connection of a worker."""
        return self._server.connected(pod_uid) if self._server is not None else None

    def defaults(self) -> WorkerDefaults:
        """What the installation says about every worker. Raises PoolSpecError while there is no port for them."""
        if not self._settings.dispatch_address:
            raise PoolSpecError("this installation has no dispatch port: set TIDEGATE_DISPATCH_ADDRESS")
        if self._certificate is None:
            raise PoolSpecError(self._problem)
        if not self._tls.is_known:
            raise PoolSpecError("the authority of the web app's certificate is not known yet")
        return WorkerDefaults(
            address=self._settings.dispatch_address,
            trust=self._certificate.trust,
            api_url=self._settings.api_url,
            api_trust=self._tls.api_trust,
            run_as_user=self._settings.run_as_user,
        )

    async def run(self, identifier: Identifier, listener: Listener, *, known: asyncio.Event) -> None:
        """Serve for ever; without an address, wait for ever.

        The port opens when `known` is set: all runs have been read then. A worker may report a run that isn't known yet. That run
        would be taken for a deleted one: it would be stopped, or its outcome forgotten.
        """
        if not self._settings.dispatch_address:
            await asyncio.Event().wait()
        certificate = await self._read()
        while certificate is None:
            await asyncio.sleep(RETRY_SECONDS)
            certificate = await self._read()
        await known.wait()
        context = server_context(certificate)
        async with DispatchServer(
            identifier,
            listener,
            context=context,
            guard=self._guard,
            metrics=self._metrics,
            host=self._settings.host,
            port=self._settings.dispatch_port,
        ) as server:
            self._server = server
            self._log.info("dispatch port is open", dispatch_port=server.port)
            async with asyncio.TaskGroup() as parts:
                parts.create_task(server.serve())
                parts.create_task(self._keep_fresh(context))

    async def _keep_fresh(self, context: ssl.SSLContext) -> None:
        """For ever: take up a certificate that was renewed."""
        while True:
            await asyncio.sleep(REREAD_SECONDS)
            if (certificate := await self._read()) is not None:
                certificate.into(context)

    async def _read(self) -> Certificate | None:
        settings = self._settings
        try:
            found = await read_or_make(
                self._client,
                namespace=settings.lease_namespace,
                secret=settings.dispatch_secret,
                host=settings.dispatch_address.rpartition(":")[0],
            )
        except FAILED as error:
            problem = f"the certificate of the dispatch port can't be read: {error}"
            if problem != self._problem:
                self._log.warning("no certificate", error=str(error) or repr(error))
            self._problem = problem
            self._on_trust()
            return None
        if self._certificate is None or found.trust != self._certificate.trust:
            self._certificate = found
            self._on_trust()
        self._certificate = found
        return found
