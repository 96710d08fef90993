"""/healthz, /readyz and /metrics, on a port of their own.

`readyz` says that this process can do its part, standing by included; it says nothing of what it depends on.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tidegate_operator.http_server import Port
from tidegate_operator.metrics import Metrics


class HealthServer(Port):
    """Serves the three pages. `not_ready` and `not_healthy` answer with the reason, or None."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        metrics: Metrics,
        not_ready: Callable[[], str | None],
        not_healthy: Callable[[], str | None],
        before_scrape: Callable[[], None],
    ) -> None:
        self._metrics, self._before_scrape = metrics, before_scrape
        pages = {
            "/healthz": self._page(not_healthy),
            "/readyz": self._page(not_ready),
            "/metrics": self._metrics_page,
        }
        super().__init__(host=host, port=port, pages=pages)

    def _page(self, problem: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.Response:
            found = problem()
            return web.Response(text=(found or "ok") + "\n", status=503 if found else 200)

        return answer

    async def _metrics_page(self, _: web.Request) -> web.Response:
        self._before_scrape()
        # In a thread: a long page must not hold up runs.
        page = await asyncio.to_thread(generate_latest, self._metrics.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})
