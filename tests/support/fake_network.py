"""The way between the operator's HTTP client and the apiserver in memory, on which requests wait, fail and lose their answers.

It stands where `aiohttp.ClientSession` does, so all of the operator's own client is real. A request is carried out at once,
unless the way is held up: then a test says when it is carried out, and when its answer comes. Both sides give up after the
time that the request names.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from tidegate_operator.kube.client import Cluster, KubeClient
from tidegate_operator.metrics import Metrics

from support.fake_apiserver import Answer, Event, FakeApiserver, Request
from support.virtual_loop import VirtualClock

SERVER: Final = "http://apiserver.invalid"
EXPIRED: Final = (
    b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}\n'
)
"""The apiserver answers such a watch with 200 and this event."""


@dataclass(eq=False)
class Call:
    """A request under way."""

    request: Request
    sent: float
    moved: asyncio.Event
    answer: Answer | None = None
    """What the apiserver answered, once it has carried the request out."""
    arrives: bool = False
    """Whether the answer has come through."""
    broken: bool = False
    """Whether the connection has ended instead."""
    given_up: bool = False
    """Whether the client waits no longer."""


@dataclass
class Network:
    """What happens between one apiserver and its clients."""

    server: FakeApiserver
    clock: VirtualClock
    held: bool = False
    """Requests wait for `carry_out` and `let_through`."""
    calls: list[Call] = field(default_factory=list)
    """Under way and held."""
    faults: deque[str] = field(default_factory=deque)
    """What becomes of the next writes: "lost" (carried out, the answer lost), "refused" (500, not carried out), "stored" (500,
    and carried out all the same), "busy" (429), "broken" (the connection ends before)."""
    creation_faults: deque[str] = field(default_factory=deque)
    """The same of the next creations of Jobs."""
    served: int = 0
    """Requests carried out since the time last moved."""

    async def send(self, request: Request) -> Answer:
        call = Call(request, self.clock.now, asyncio.Event())
        fault = self._next_fault(request)
        await asyncio.sleep(0)
        if fault in ("refused", "busy", "broken"):
            return self._fail(fault)
        if self.held:
            return await self._wait(call)
        answer = self._serve(request)
        if fault == "lost":
            raise aiohttp.ServerDisconnectedError
        if fault == "stored":
            return Answer.refusal(500, "InternalError", "etcdserver: request timed out")
        await asyncio.sleep(0)
        return answer

    def carry_out(self, call: Call) -> None:
        """The apiserver gets round to it, unless it is too late for it."""
        late = call.request.is_write and self.clock.now > call.sent + float(call.request.query["timeout"].rstrip("s"))
        if call.answer is None and not late:
            call.answer = self._serve(call.request)
        elif call.answer is None:
            self.calls.remove(call)

    def let_through(self, call: Call) -> None:
        """The answer comes to the client, which may have given up."""
        self.carry_out(call)
        call.arrives = True
        call.moved.set()

    def break_off(self, call: Call) -> None:
        """The connection ends, whether the request was carried out or not."""
        call.broken = True
        call.moved.set()

    def release(self) -> None:
        """Nothing is held up any more."""
        self.held = False
        for call in list(self.calls):
            self.let_through(call)

    def _next_fault(self, request: Request) -> str | None:
        if self.creation_faults and request.method == "POST" and request.place["plural"] == "jobs":
            return self.creation_faults.popleft()
        return self.faults.popleft() if self.faults and request.is_write else None

    def _serve(self, request: Request) -> Answer:
        self.served += 1
        answer = self.server.handle(request)
        date = formatdate(self.server.clock(), usegmt=True)
        return Answer(answer.status, answer.data, {**answer.headers, "Date": date})

    async def _wait(self, call: Call) -> Answer:
        self.calls.append(call)
        try:
            while not (call.broken or (call.arrives and call.answer is not None)):
                await call.moved.wait()
                call.moved.clear()
        finally:
            if call in self.calls and (call.broken or call.arrives):
                self.calls.remove(call)
            call.given_up = True
        if call.broken or call.answer is None:
            raise aiohttp.ServerDisconnectedError
        return call.answer

    def _fail(self, fault: str) -> Answer:
        if fault == "broken":
            raise aiohttp.ServerDisconnectedError
        if fault == "busy":
            return Answer.refusal(429, "TooManyRequests", "busy", headers={"Retry-After": "1"})
        return Answer.refusal(500, "InternalError", "etcdserver: request timed out")


class Watch:
    """The lines of one watch of pods that aren't Pending, until it is cut."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.moved = asyncio.Event()
        self.is_cut = self.is_ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            while self.lines:
                yield self.lines.popleft()
            if self.is_ended:
                return
            if self.is_cut:
                raise aiohttp.ClientPayloadError("the connection has ended")
            self.moved.clear()
            await self.moved.wait()

    def report(self, line: bytes) -> None:
        self.lines.append(line)
        self.moved.set()

    def end(self) -> None:
        """The apiserver has nothing more to report."""
        self.is_ended = True
        self.moved.set()

    def cut(self) -> None:
        self.is_cut = True
        self.moved.set()


def pod_line(event: Event) -> bytes | None:
    """What a watch with the selector `status.phase!=Pending` reports of a change, if anything."""
    pending = '"phase":"Pending"' in event.text
    if event.type == "DELETED" or (pending and event.before not in (None, "Pending")):
        kind = "DELETED"
    else:
        kind = "ADDED" if event.before in (None, "Pending") else "MODIFIED"
    if (pending and event.before in (None, "Pending")) or event.plural != "pods":
        return None
    return line_of(kind, event.text)


def watch_from(server: FakeApiserver, version: str) -> list[bytes]:
    """What a watch of pods that aren't Pending reports of what has happened since a version."""
    if int(version) < server.oldest:
        return [EXPIRED]
    found = [pod_line(event) for event in server.events if event.version > int(version)]
    return [line for line in found if line is not None]


def line_of(kind: str, text: str) -> bytes:
    return f'{{"type":"{kind}","object":{text}}}\n'.encode()


class Response:
    def __init__(self, answer: Answer, watch: Watch | None = None) -> None:
        self.status, self.headers, self._data = answer.status, answer.headers, answer.data
        self.content = watch

    async def read(self) -> bytes:
        return self._data


class FakeSession:
    """What the client needs of an `aiohttp.ClientSession`. Once `dead`, none of its requests reaches the apiserver."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.watch: Watch | None = None
        self.dead = False

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        data: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> AsyncIterator[Response]:
        path = urlsplit(url).path
        request = Request(method=method, path=path, query=dict(params or {}), headers=dict(headers), data=data)
        async with asyncio.timeout(timeout.total):
            if self.dead:
                raise aiohttp.ServerDisconnectedError
            answer = await self._network.send(request)
        yield Response(answer)

    @asynccontextmanager
    async def get(self, url: str, *, params: Mapping[str, str], **_: Any) -> AsyncIterator[Response]:
        """A watch of pods. What has happened since the version that it names comes at once."""
        if self.dead:
            raise aiohttp.ServerDisconnectedError
        await asyncio.sleep(0)
        self.watch = Watch()
        lines = watch_from(self._network.server, params["resourceVersion"])
        for line in lines:
            self.watch.report(line)
        if lines == [EXPIRED]:
            self.watch.end()
        yield Response(Answer.of(200, {}), self.watch)

    async def close(self) -> None:
        """Nothing is open."""


class FakeKubeClient(KubeClient):
    """The operator's client on a network of a test."""

    def __init__(self, session: FakeSession, *, metrics: Metrics, guard: Any = None, clock: Any = None) -> None:
        super().__init__(Cluster(server=SERVER), metrics=metrics, guard=guard, clock=clock)
        self._fake = session

    @property
    def _session(self) -> Any:
        return self._fake
