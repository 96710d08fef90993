"""Faults of single requests: what a rule of the proxy (`proxy.py`) does to those that match it."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from aiohttp import web

from support.servers import PATIENCE, wait_until

Json = dict[str, Any]
Fault = Callable[[web.Request, bytes], Coroutine[Any, Any, web.StreamResponse | None]]
REASONS: Final = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


def status_of(code: int) -> Json:
    """The Status that the apiserver answers, or sends in a watch's ERROR event."""
    message = f"fault: {code}"
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": REASONS[code],
            "message": message, "metadata": {}}  # fmt: skip


class Proxy(Protocol):
    """What a rule needs of the proxy that it is one of."""

    async def ask(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Pass a request on; the apiserver's answer."""

    def forget(self, rule: "Rule") -> None:
        """A rule is lifted."""

    def call(self, act: Callable[[], object]) -> None:
        """Have something done by the proxy's own thread."""


class Rule:
    """What happens to requests that match, until `times` of them have or the rule is lifted."""

    def __init__(
        self,
        proxy: Proxy,
        *,
        method: str | None,
        path: str,
        watch: bool | None,
        query: Mapping[str, str],
        body: str,
    ) -> None:
        self._proxy, self._method, self._path, self._watch = proxy, method, re.compile(path), watch
        self._query, self._body = dict(query), body.encode()
        self._left: int | None = None
        self._released = asyncio.Event()
        self._faults: list[Fault] = []
        self.hits = 0
        """Requests that it met."""
        self.done = 0
        """Those of them that are through."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.lift()

    # What it does, in the order in which it is asked

    def answer(self, code: int, *, retry_after: int | None = None) -> Self:
        """Answer instead of the apiserver."""

        async def fault(_: web.Request, __: bytes) -> web.StreamResponse:
            headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
            return web.json_response(status_of(code), status=code, headers=headers)

        return self._then(fault)

    def garble(self) -> Self:
        """Answer 200 with what is no JSON, as a balancer's own page."""

        async def fault(_: web.Request, __: bytes) -> web.StreamResponse:
            return web.Response(text="<html>one moment please</html>", content_type="text/html")

        return self._then(fault)

    def delay(self, seconds: float) -> Self:
        """Pass it on later, whether the client still waits or not."""

        async def fault(_: web.Request, __: bytes) -> None:
            await asyncio.sleep(seconds)

        return self._then(fault)

    def hold(self) -> Self:
        """Pass it on once `release` is called, whether the client still waits or not."""

        async def fault(_: web.Request, __: bytes) -> None:
            await self._released.wait()

        return self._then(fault)

    def drop(self) -> Self:
        """Close the connection, and send the apiserver nothing."""

        async def fault(request: web.Request, _: bytes) -> web.StreamResponse:
            return hang_up(request)

        return self._then(fault)

    def forward_then_drop(self) -> Self:
        """Have it carried out and lose the answer."""

        async def fault(request: web.Request, body: bytes) -> web.StreamResponse:
            await self._proxy.ask(request, body)
            return hang_up(request)

        return self._then(fault)

    def forward_then_hold(self) -> Self:
        """Have it carried out and keep the answer back until `release`."""

        async def fault(request: web.Request, body: bytes) -> web.StreamResponse:
            answer = await self._proxy.ask(request, body)
            await self._released.wait()
            return answer

        return self._then(fault)

    def alter(self, change: Callable[[Json], object]) -> Self:
        """Have it carried out and change the object that is answered."""

        async def fault(request: web.Request, body: bytes) -> web.StreamResponse:
            answer = await self._proxy.ask(request, body)
            assert isinstance(answer, web.Response)
            reported = json.loads(answer.text or "")
            change(reported)
            return web.json_response(reported, status=answer.status)

        return self._then(fault)

    def after(self, act: Callable[[], object]) -> Self:
        """Have something else happen first, such as another's write."""

        async def fault(_: web.Request, __: bytes) -> None:
            await asyncio.to_thread(act)

        return self._then(fault)

    def times(self, count: int) -> Self:
        """Let the rest through."""
        self._left = count
        return self

    # What the test does with it

    def release(self) -> Self:
        """Let what is held, and what comes, go on."""
        self._proxy.call(self._released.set)
        return self

    def lift(self) -> None:
        """End the rule. What it holds goes on."""
        self.release()
        self._proxy.forget(self)

    def wait_hits(self, count: int = 1, *, seconds: float = PATIENCE) -> Self:
        """Until it has met so many requests."""
        wait_until(lambda: self.hits >= count, seconds=seconds, what=f"request {count} like {self._path.pattern}")
        return self

    def wait_done(self, count: int = 1, *, seconds: float = PATIENCE) -> Self:
        """Until so many requests that it met are through."""
        wait_until(lambda: self.done >= count, seconds=seconds, what=f"the end of request {count}")
        return self

    # What the proxy does with it

    def takes(self, request: web.Request, body: bytes) -> bool:
        """Whether the request is one for this rule; if so it is counted."""
        if self._left is not None and self.hits >= self._left:
            return False
        if self._method is not None and self._method != request.method:
            return False
        if self._watch is not None and self._watch != is_watch(request):
            return False
        if any(request.query.get(k) != v for k, v in self._query.items()) or self._body not in body:
            return False
        if not self._path.search(request.path):
            return False
        self.hits += 1
        return True

    async def apply(self, request: web.Request, body: bytes) -> web.StreamResponse | None:
        """The answer, or None for a request that goes on."""
        for fault in self._faults:
            if (answer := await fault(request, body)) is not None:
                return answer
        return None

    def _then(self, fault: Fault) -> Self:
        self._faults.append(fault)
        return self


def is_watch(request: web.Request) -> bool:
    """Whether it follows a kind."""
    return request.query.get("watch") in ("1", "true")


def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
