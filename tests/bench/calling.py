"""A function called over HTTP: a warm run is asked for with ``?wait=``, and its result is in the answer.

API, streams and mirror are processes as the chart runs them, with their rights, beside a Postgres and a Redis of their own.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from support.rights import grant
from support.servers import Postgres, Redis, ensure_servers
from support.web import Stack
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.auth.admin import create_admin
from tidegate_web.serving import json_logs
from tidegate_web.store import schema

from .load import BenchError
from .posting import session

WAIT_SECONDS: Final = 30
WARM_UP: Final = 10


@contextmanager
def web_app(plane: ControlPlane, *, project: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Its address, and an API key of the project, whose namespace is there."""
    ensure_servers()
    json_logs.configure("WARNING")
    with ExitStack() as cleanup:
        for actor in ("web", "mirror"):
            grant(plane, actor)
        postgres, redis = cleanup.enter_context(Postgres()), cleanup.enter_context(Redis())
        stack = Stack(
            postgres=postgres,
            redis=redis,
            plane=plane,
            project=project,
            database_url=postgres.create_database("calling"),
            redis_url=redis.url(),
            cleanup=cleanup,
            forks=False,
        )
        engine = stack.services("web").engine
        schema.upgrade(engine)
        with engine.begin() as connection:
            create_admin(connection, stack.settings("web"))
        key = stack.parts("web").key("developer").key
        settings: dict[str, Any] = {"namespaces": [project], "rate_limit_requests": 0}
        web = cleanup.enter_context(stack.process("all", actor="web", log=folder / "all.log", **settings))
        cleanup.enter_context(stack.process("mirror", actor="mirror", log=folder / "mirror.log", namespaces=[project]))
        yield f"http://127.0.0.1:{web.port}", key


async def call(url: str, key: str, *, project: str, spec: Any, rate: float, seconds: float) -> list[float]:
    """Seconds that each call took, at a steady rate, however long each takes."""
    async with session(url, key) as client:
        for number in range(WARM_UP):
            await _one(client, project, {**spec, "name": f"warm-up-{number}"})
        began, calls = time.monotonic(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            calls.append(asyncio.create_task(_one(client, project, {**spec, "name": f"call-{number}"})))
        return list(await asyncio.gather(*calls))


async def _one(client: aiohttp.ClientSession, project: str, body: Any) -> float:
    began = time.monotonic()
    async with client.post(f"/api/v1/projects/{project}/runs?wait={WAIT_SECONDS}", json=body) as answer:
        text = await answer.text()
        found: Any = await answer.json() if answer.status == 200 else {}
    took = time.monotonic() - began
    if found.get("phase") != "Succeeded":
        raise BenchError(f"a call was answered with {answer.status}: {text[:300]}")
    return took
