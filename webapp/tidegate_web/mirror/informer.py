"""List, then watch, for ever: what a kind of object looks like in the cluster, told as pages, changes and re-lists.

A watch goes on from where it broke. When that place is gone (410) everything is listed again, and what isn't listed
any more was deleted meanwhile: nothing else will ever tell. The same when the cluster is older than that place, as after
an etcd was restored from a backup: a watch from there would be silent until as much has happened again.
"""

import json
import random
import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from tidegate_web.kubernetes import Cluster, ClusterError, Stream

log = structlog.stdlib.get_logger(__name__)

WATCH_SECONDS = 290


class Handler(Protocol):
    """What is told of a kind of object."""

    def page(self, items: list[dict[str, Any]]) -> None:
        """Some objects of a list."""

    def listed(self, uids: set[str], resource_version: int) -> None:
        """The list is whole: these there were, at this version."""

    def changed(self, kind: str, item: dict[str, Any]) -> None:
        """One object was ADDED, MODIFIED or DELETED."""


class ExpiredError(Exception):
    """The place to go on from is gone: list again."""


class Informer(threading.Thread):
    """One thread for one kind of object in one scope."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        path: str,
        handler: Handler,
        stop: threading.Event,
        label_selector: str | None = None,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"informer {path}", daemon=True)
        self._cluster = cluster
        self._path = path
        self._handler = handler
        self._stop_event = stop
        self._selector = label_selector
        self._heard = heard
        self._stream: Stream | None = None
        self._version = ""
        self.synced = threading.Event()

    def run(self) -> None:
        delay, broke = 0.2, False
        while not self._stop_event.is_set():
            try:
                if not self._version:
                    self._list()
                    delay = 0.2
                elif broke:
                    self._check_place()
                broke = False
                self._watch()
                delay = 0.2
            except ExpiredError:
                log.info("listing again", path=self._path)
                self._version = ""
            except ClusterError as error:
                if self._stop_event.is_set():
                    return
                if error.status == 410:
                    self._version = ""
                    continue
                broke = True
                log.warning("waiting for the apiserver", path=self._path, reason=error.message, status=error.status)
                self._stop_event.wait(delay * random.uniform(0.5, 1))  # noqa: S311 - no secret
                delay = min(delay * 2, 5)
            except Exception:
                # A mistake of ours must not end the mirror; listing again gives it another start.
                log.exception("informer", path=self._path)
                self._version = ""
                self._stop_event.wait(5)

    def close(self) -> None:
        """End a watch that waits."""
        stream = self._stream
        if stream is not None:
            stream.close()

    def _list(self) -> None:
        uids: set[str] = set()
        version = ""
        for answer in self._cluster.pages(self._path, query={"labelSelector": self._selector}, timeout=60):
            items: list[dict[str, Any]] = answer.get("items") or []
            uids.update(item["metadata"]["uid"] for item in items)
            if items:
                self._handler.page(items)
            if self._stop_event.is_set():
                return
            version = answer["metadata"]["resourceVersion"]
        self._handler.listed(uids, int(version))
        self._version = version
        self._heard()
        self.synced.set()

    def _check_place(self) -> None:
        """ExpiredError when the cluster hasn't come as far as we have seen it."""
        query = {"limit": 1, "labelSelector": self._selector}
        newest = self._cluster.request("GET", self._path, query=query)["metadata"]["resourceVersion"]
        if int(newest) < int(self._version):
            raise ExpiredError

    def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": WATCH_SECONDS,
            "labelSelector": self._selector,
        }
        stream = self._stream = self._cluster.stream(self._path, query=query, timeout=WATCH_SECONDS + 30)
        try:
            for line in stream.lines():
                if self._stop_event.is_set():
                    return
                self._take(json.loads(line))
        except ValueError as error:
            raise ClusterError(0, f"the watch broke off in the middle: {error}") from error
        finally:
            self._stream = None
            stream.close()

    def _take(self, event: dict[str, Any]) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            if item.get("code") == 410:
                raise ExpiredError
            raise ClusterError(int(item.get("code") or 0), str(item.get("message") or "the watch failed"))
        self._heard()
        if kind != "BOOKMARK":
            self._handler.changed(kind, item)
        self._version = item["metadata"]["resourceVersion"]
