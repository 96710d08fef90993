"""Thousands of objects, made as fast as an apiserver takes them."""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
from tidegate_api.names import GROUP, VERSION
from tidegate_cluster.control_plane import ControlPlane

Json = dict[str, Any]

IN_FLIGHT: Final = 16


def create_runs(plane: ControlPlane, manifests: Iterable[Json]) -> None:
    """Create TaskRuns; any refusal is an error."""
    asyncio.run(_create(plane, manifests))


async def _create(plane: ControlPlane, manifests: Iterable[Json]) -> None:
    waiting = iter(manifests)
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=plane.ca_file))
    headers = {"Authorization": f"Bearer {plane.token()}"}
    async with aiohttp.ClientSession(base_url=plane.url, headers=headers, connector=connector) as session:

        async def work() -> None:
            for manifest in waiting:
                path = f"/apis/{GROUP}/{VERSION}/namespaces/{manifest['metadata']['namespace']}/taskruns"
                async with session.post(path, json=manifest) as answer:
                    assert answer.status == 201, await answer.text()

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work())
