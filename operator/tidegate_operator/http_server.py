"""A small HTTP server for as long as a block lasts: what pages there are is for others to say."""

import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler
from tidegate_api.listening import bound_sockets


class Port(AbstractAsyncContextManager["Port"]):
    """Serves `pages`: GET handlers by path."""

    def __init__(
        self, *, host: str, port: int, pages: Mapping[str, Handler], tls: ssl.SSLContext | None = None
    ) -> None:
        """With a `tls` context it takes TLS alone; a certificate that is loaded into it holds for new connections."""
        self._host, self._port, self._pages, self._tls = host, port, pages, tls
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._runner.addresses[0][1]) if self._runner else self._port

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1024)
        for path, handler in self._pages.items():
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        for bound in bound_sockets(self._host, self._port):
            await web.SockSite(self._runner, bound, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
