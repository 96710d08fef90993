"""Objects of one kind, followed without kopf: paged list, then watch with bookmarks; after 410 a list again.

kopf never reports what was deleted while it re-listed, and its per-object machinery costs more than all of our own work on
a pod's event.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypedDict, cast

import structlog
from tidegate_api.objects import KubeObject

from tidegate_operator import json_codec
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import UNREACHABLE, KubeError
from tidegate_operator.metrics import Metrics

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Sink(Protocol):
    """Where the findings of an informer go."""

    def upserted(self, body: KubeObject) -> None:
        """An object is as given."""

    def deleted(self, body: KubeObject) -> None:
        """An object is gone, or has left the selector."""

    def listed(self, uids: list[str], *, version: int) -> None:
        """A whole list at `version` is through; it had these objects and no others."""


class _WatchEvent(TypedDict):
    type: str
    object: KubeObject


class Informer:
    """Follows one kind of object for as long as its task lives."""

    def __init__(
        self,
        client: KubeClient,
        *,
        path: str,
        resource: str,
        selector: Mapping[str, str],
        sink: Sink,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._path, self._resource = client, path, resource
        self._selector, self._sink, self._metrics, self._clock = dict(selector), sink, metrics, clock
        self._log = structlog.get_logger(__name__).bind(resource=resource)

    async def run(self) -> None:
        """List and watch for ever."""
        pause = FIRST_PAUSE
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self.list_all()
                async for line in self._client.watch(
                    self._path, params={**self._selector, "resourceVersion": version}, resource=self._resource
                ):
                    try:
                        event = cast("_WatchEvent", json_codec.loads(line))
                    except ValueError:
                        break  # cut off in the middle of an event: the watch goes on from the one before
                    version = self._event(event, version)
                    if version is None:
                        break
                    pause = FIRST_PAUSE
            except KubeError as error:
                version = None if error.code == 410 else version
                self._log.warning("watch refused", error=str(error))
            except UNREACHABLE as error:
                # A list that failed half-way is made again; a watch goes on from where it was.
                self._log.info("watch interrupted", error=repr(error))
            except Exception:
                # Such as an event that is none: a new list has what it may have reported.
                version = None
                self._metrics.errors.inc()
                self._log.exception("watch broke")
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def list_all(self) -> str:
        """Hand everything that is there to the sink; returns the list's version."""
        uids: list[str] = []
        version = "0"
        async for items, page_version in self._client.pages(
            self._path, KubeObject, resource=self._resource, params=self._selector
        ):
            version = page_version
            for item in items:
                uids.append(item["metadata"]["uid"])
                self._sink.upserted(item)
        self._sink.listed(uids, version=int(version))
        self._metrics.watch_listed(self._resource)
        self._metrics.watch_alive(self._resource, self._clock())
        return version

    def _event(self, event: _WatchEvent, version: str) -> str | None:
        """Handle one event; the version to go on from, None after which only a new list helps."""
        kind, body = event["type"], event["object"]
        self._metrics.watch_alive(self._resource, self._clock())
        if kind == "ERROR":
            said: Mapping[str, object] = body  # a Status
            self._log.info("watch ended", code=said.get("code"), message=said.get("message"))
            return None
        if kind in ("ADDED", "MODIFIED"):
            self._sink.upserted(body)
        elif kind == "DELETED":
            self._sink.deleted(body)
        return body["metadata"].get("resourceVersion", version)
