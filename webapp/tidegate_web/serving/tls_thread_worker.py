"""gunicorn's worker of pages and API, with TLS at the port that pods call: gunicorn itself has it at all ports or at none.

What people call is encrypted by the Ingress, and plain from there.
"""

from typing import Any

import structlog
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    _DEFER,
    DEFAULT_WORKER_DATA_TIMEOUT,
    ThreadWorker,
)

log = structlog.stdlib.get_logger(__name__)


class TlsThreadWorker(ThreadWorker):  # type: ignore[misc]
    """Its application has `internal_tls` and `internal_port`."""

    def handle(self, conn: Any) -> Any:
        fresh = not conn.initialized and not hasattr(conn.sock, "do_handshake")
        if fresh and conn.sock.getsockname()[1] == self.app.internal_port:
            if not conn.wait_for_data(DEFAULT_WORKER_DATA_TIMEOUT):
                return _DEFER  # as in plain HTTP: a client that says nothing waits without a thread
            try:
                conn.sock = self.app.internal_tls.accept(conn.sock)
            except OSError as error:
                log.debug("a TLS handshake failed", error=str(error))
                return False
            conn.data_ready = False
        return super().handle(conn)
