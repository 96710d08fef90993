"""Runs that are made over HTTP beside the same runs made at the apiserver, so many at once."""

import asyncio
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from support.web import Process, Stack

from .figures import ProcessView
from .load import ACTOR, BenchError

PROJECT: Final = "serving"
TASK: Final = "resize"
BODY: Final = {"taskRef": {"name": TASK}, "payload": {"width": 800}}
CREATORS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Posted:
    """Runs made a second, a round each; and the CPU of one at the web process."""

    over_http: list[float]
    batched: list[float]
    at_apiserver: list[float]
    cpu_ms: float
    beside: list[float]
    """Over HTTP too, by the web app of another checkout."""
    beside_cpu_ms: float

    @property
    def ratio(self) -> float:
        """Of two rounds that followed each other, the median."""
        return _ratio(self.over_http, self.at_apiserver)

    @property
    def beside_ratio(self) -> float:
        """The same of the other checkout."""
        return _ratio(self.beside, self.at_apiserver)


def _ratio(rates: list[float], others: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(rates, others, strict=True)), 2)


class _Maker:
    """Makes runs by one web process, and reports the CPU that they took there."""

    def __init__(self, serving: Process, session: aiohttp.ClientSession, *, name: str) -> None:
        self._session, self._name = session, name
        self._workers = [ProcessView(pid) for pid in ProcessView(serving.process.pid).children()]
        self.rates: list[float] = []
        self.cpu = 0.0

    async def make(self, name: str) -> None:
        await create(self._session, f"/api/v1/projects/{PROJECT}/runs", {**BODY, "name": name})

    async def warm_up(self) -> None:
        await rate(self.make, [f"warm-{self._name}-{i}" for i in range(CREATORS * 2)])

    async def round(self, number: int, posts: int) -> None:
        before = sum(one.cpu_seconds for one in self._workers)
        self.rates.append(await rate(self.make, [f"{self._name}-{number}-{n}" for n in range(posts)]))
        self.cpu += sum(one.cpu_seconds for one in self._workers) - before


async def post(stack: Stack, serving: list[Process], key: str, *, posts: int, rounds: int) -> Posted:
    async with AsyncExitStack() as sessions:
        webs = [await sessions.enter_async_context(session(f"http://127.0.0.1:{one.port}", key)) for one in serving]
        makers = [_Maker(*pair, name=f"http-{n}") for n, pair in enumerate(zip(serving, webs, strict=True))]
        context = ssl.create_default_context(cafile=stack.plane.ca_file)
        raw = await sessions.enter_async_context(session(stack.plane.url, stack.plane.token(ACTOR), tls=context))

        async def at_apiserver(name: str) -> None:
            made = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "TaskRun", "metadata": {"name": name}, "spec": BODY}
            await create(raw, f"/apis/tidegate.dev/v1alpha1/namespaces/{PROJECT}/taskruns", made)

        async def in_a_batch(names: list[str]) -> None:
            runs = {"runs": [{**BODY, "name": name} for name in names]}
            await create(webs[0], f"/api/v1/projects/{PROJECT}/runs:batch", runs)

        for maker in makers:
            await maker.warm_up()
        await rate(at_apiserver, [f"warm-raw-{i}" for i in range(CREATORS * 2)])
        raws: list[float] = []
        batched: list[float] = []
        for i in range(rounds):
            for maker in makers:
                await maker.round(i, posts)
            raws.append(await rate(at_apiserver, [f"raw-{i}-{n}" for n in range(posts)]))
            began = time.perf_counter()
            await in_a_batch([f"batch-{i}-{n}" for n in range(posts)])
            batched.append(round(posts / (time.perf_counter() - began), 1))
    ours, others = makers[0], makers[1:]
    return Posted(
        over_http=ours.rates,
        batched=batched,
        at_apiserver=raws,
        cpu_ms=round(ours.cpu * 1000 / (posts * rounds), 2),
        beside=[rate for maker in others for rate in maker.rates],
        beside_cpu_ms=round(sum(maker.cpu for maker in others) * 1000 / (posts * rounds), 2),
    )


async def rate(create: Callable[[str], Any], names: list[str]) -> float:
    """Runs made a second, so many at once."""
    left = iter(names)

    async def work() -> None:
        for name in left:
            await create(name)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CREATORS)))
    return round(len(names) / (time.perf_counter() - began), 1)


async def create(session: aiohttp.ClientSession, path: str, body: object) -> None:
    async with session.post(path, json=body) as answer:
        text = await answer.text()
        if answer.status not in (200, 201, 207):
            raise BenchError(f"{path} answered {answer.status}: {text[:300]}")


@asynccontextmanager
async def session(url: str, token: str, *, tls: ssl.SSLContext | bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
    ) as session:
        yield session
