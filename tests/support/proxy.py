"""The way to the apiserver, with faults in it: a reverse proxy on loopback that breaks what a test asks for.

It passes requests on as they are, the bearer token included, and streams watches event by event. Rules break single
requests (`on`); what happens to open watches is set by kind (`cut_watches`, `swallow_events`, …). Rules count what they
met, so that a test waits for the fault to have happened and never sleeps.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web
from tidegate_cluster import kubeconfig
from tidegate_cluster.control_plane import ControlPlane
from yarl import URL

from support.rules import Rule, hang_up, is_watch, status_of
from support.servers import wait_until

Json = dict[str, Any]
PASSED_ON: Final = ("Authorization", "Accept", "Content-Type", "User-Agent")
HANDED_BACK: Final = ("Content-Type", "Retry-After", "Warning")


class Stream:
    """One open watch."""

    def __init__(self, kind: str, request: web.Request, response: web.StreamResponse) -> None:
        self.kind, self._request, self._response = kind, request, response

    @property
    def alive(self) -> bool:
        """Whether its reader is still there."""
        return self._request.transport is not None

    def cut(self) -> None:
        """Break it off."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def end_with(self, words: bytes) -> None:
        """End it politely, with last words of ours."""
        await self._response.write(words)
        await self._response.write_eof()
        if self._request.transport is not None:
            self._request.transport.close()


class FaultyProxy:
    """An HTTP server in front of a control plane's apiserver, in a thread of its own."""

    def __init__(self, plane: ControlPlane, *, folder: Path) -> None:
        self._plane, self._folder = plane, folder
        self._rules: list[Rule] = []
        self._streams: list[Stream] = []
        self._muted: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.clear()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def kubeconfig(self, actor: str = "admin") -> Path:
        """An actor's kubeconfig for the way through here."""
        path = self._folder / f"{actor}.kubeconfig"
        server = f"http://127.0.0.1:{self._port}"
        return kubeconfig.write(path, server=server, ca=self._plane.ca_file, name=actor, token=self._plane.token(actor))

    # Single requests

    def on(
        self,
        *,
        method: str | None = None,
        path: str = "",
        watch: bool | None = None,
        query: Mapping[str, str] | None = None,
        body: str = "",
    ) -> Rule:
        """A rule for requests with this method, a path like this and this in their body. The oldest that matches counts."""
        rule = Rule(self, method=method, path=path, watch=watch, query=query or {}, body=body)
        self._rules.append(rule)
        return rule

    def forget(self, rule: Rule) -> None:
        """A rule is lifted."""
        with suppress(ValueError):
            self._rules.remove(rule)

    def clear(self) -> None:
        """Let everything through again."""
        for rule in list(self._rules):
            rule.lift()
        self._muted.clear()
        self._gone.clear()

    # Watches, by the plural of their kind

    def watches(self, kind: str) -> int:
        """How many are open."""
        return sum(stream.kind == kind and stream.alive for stream in self._streams)

    def wait_watched(self, kind: str) -> None:
        """Until the kind is watched (again)."""
        wait_until(lambda: self.watches(kind) > 0, what=f"a watch of {kind}")

    def cut_watches(self, kind: str, *, mid_line: bool = False) -> None:
        """Break the open watches of a kind off, or end them in the middle of an event."""

        async def cut(stream: Stream) -> None:
            await stream.end_with(b'{"type":"MODIFIED","object":{"kind"') if mid_line else stream.cut()

        self._each(kind, cut)

    def error_event(self, kind: str, *, code: int) -> None:
        """End the open watches of a kind with an ERROR event, as an apiserver in trouble does."""
        words = json.dumps({"type": "ERROR", "object": status_of(code)}).encode() + b"\n"
        self._each(kind, lambda stream: stream.end_with(words))

    def gone(self, kind: str, *, times: int = 1) -> None:
        """Break the open watches off; those that come next get the answer that their version is too old."""
        self._gone[kind] = times
        self.cut_watches(kind)

    def swallow_events(self, kind: str) -> None:
        """Lose what happens to a kind until `deliver_events`."""
        self._muted.setdefault(kind, 0)

    def deliver_events(self, kind: str) -> None:
        """Let events through again. Those lost stay lost."""
        self._muted.pop(kind, None)

    def swallowed(self, kind: str) -> int:
        """How many events have been lost."""
        return self._muted.get(kind, 0)

    # The server

    async def _start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=str(self._plane.ca_file)))
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 22)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        assert self._runner is not None
        assert self._http is not None
        assert self._http.connector is not None
        await self._runner.cleanup()
        # What waits for an apiserver that says nothing more doesn't end with its client.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await self._http.connector.close(abort_ssl=True)
        await self._http.close()
        for _ in range(3):
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next turns

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        rule = next((r for r in list(self._rules) if r.takes(request, body)), None)
        try:
            if rule is not None and (answer := await rule.apply(request, body)) is not None:
                return answer
            return await (self._watch(request) if is_watch(request) else self.ask(request, body))
        except (aiohttp.ClientError, OSError):
            return hang_up(request)  # the apiserver is away, or the client has left
        finally:
            if rule is not None:
                rule.done += 1

    async def ask(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Pass a request on; the apiserver's answer."""
        async with self._upstream(request, body) as answer:
            headers = {k: v for k in HANDED_BACK if (v := answer.headers.get(k))}
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        kind = request.path.rsplit("/", 1)[-1]
        if self._gone.get(kind, 0) > 0:
            self._gone[kind] -= 1
            return web.json_response({"type": "ERROR", "object": status_of(410)})
        async with self._upstream(request, b"") as answer:
            if answer.status != 200:
                return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            stream = Stream(kind, request, response)
            self._streams.append(stream)
            try:
                async for line in answer.content:
                    if kind in self._muted and b'"type":"BOOKMARK"' not in line[:40]:
                        self._muted[kind] += 1
                        continue
                    await response.write(line)
                await response.write_eof()
            finally:
                self._streams.remove(stream)
                # Else TLS would say good-bye to a server that has much more to send, and the socket outlive the proxy.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()
        return response

    def _upstream(self, request: web.Request, body: bytes) -> Any:
        assert self._http is not None
        headers = {k: v for k in PASSED_ON if (v := request.headers.get(k))}
        return self._http.request(
            request.method,
            URL(self._plane.url + request.raw_path, encoded=True),
            headers=headers,
            data=body or None,
            skip_auto_headers=("Accept-Encoding",),
        )

    def _each(self, kind: str, act: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
        async def on_all() -> None:
            for stream in [s for s in self._streams if s.kind == kind and s.alive]:
                with suppress(ConnectionError):
                    await act(stream)

        self._do(on_all())

    def call(self, act: Callable[[], object]) -> None:
        """Have something done by the proxy's own thread."""
        self._loop.call_soon_threadsafe(act)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(20)
