"""gunicorn's worker of streams, pages and API in one process, with TLS at the port that pods call (``tls_thread_worker.py``)."""

from typing import Any

import gevent  # type: ignore[import-untyped]
import structlog
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from tidegate_web.serving.tls_files import HANDSHAKE_SECONDS

log = structlog.stdlib.get_logger(__name__)


class TlsGeventWorker(GeventWorker):  # type: ignore[misc]
    """Its application has `internal_tls` and `internal_port`."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        if listener.getsockname()[1] == self.app.internal_port:
            try:
                with gevent.Timeout(HANDSHAKE_SECONDS, TimeoutError("a TLS handshake took too long")):
                    client.setblocking(1)
                    client = self.app.internal_tls.context().wrap_socket(client, server_side=True)
            except OSError as error:
                log.debug("a TLS handshake failed", error=str(error))
                client.close()
                return
        super().handle(listener, client, addr)
