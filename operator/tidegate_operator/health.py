"""/healthz, /readyz and /metrics, on a port of their own.

`readyz` says that this process can do its part, standing by included; it never speaks of its neighbours.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tidegate_operator.metrics import Metrics


class HealthServer(AbstractAsyncContextManager["HealthServer"]):
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
        self._host, self._port, self._metrics = host, port, metrics
        self._not_ready, self._not_healthy, self._before_scrape = not_ready, not_healthy, before_scrape
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._runner.addresses[0][1]) if self._runner else self._port

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/healthz", self._page(self._not_healthy))
        app.router.add_get("/readyz", self._page(self._not_ready))
        app.router.add_get("/metrics", self._metrics_page)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _page(self, problem: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.Response:
            found = problem()
            return web.Response(text=(found or "ok") + "\n", status=503 if found else 200)

        return answer

    async def _metrics_page(self, _: web.Request) -> web.Response:
        self._before_scrape()
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
