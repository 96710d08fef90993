"""List, then watch, for ever: what a kind of object looks like in the cluster, handed on as pages, changes and re-lists.

A watch goes on from where it broke. When that place is gone (410) everything is listed again, and what isn't listed
any more was deleted meanwhile: nothing else will ever report it. The same when the cluster is older than that place, as after
an etcd was restored from a backup: a watch from there would be silent until as much has happened again.
"""

import random
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypedDict, cast

import structlog

from tidegate_web.cluster.client import Cluster, Stream
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared import json_text
from tidegate_web.shared.worker import PATIENCE_SECONDS, Worker

log = structlog.stdlib.get_logger(__name__)

WATCH_SECONDS = 290
QUIET_SECONDS = 30
"""So much longer a watch is waited for than it was asked to last."""


ORDER_SECONDS = 5.0


class WatchEvent(TypedDict):
    """A line of a watch."""

    type: str
    object: KubeObject


class WatchStatus(TypedDict, total=False):
    """Why a watch has failed, in place of an object."""

    code: int
    message: str


class Handler(Protocol):
    """What gets the objects of a kind. An object with which ``put`` or ``deleted`` breaks is set aside by the informer; the
    handler releases it."""

    def put(self, item: KubeObject, *, listed: bool, retry: Callable[[], None]) -> None:
        """One object as it is now: of a list, or because it changed. ``retry`` reads it again and puts it."""

    def deleted(self, item: KubeObject) -> None:
        """One object is gone."""

    def listed(self, uids: set[str], resource_version: int) -> None:
        """The list is whole: these there were, at this version."""


class ExpiredError(Exception):
    """The place to go on from is gone: list again."""


class Informer(Worker):
    """One thread for one kind of object in one scope."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        kind: str,
        path_of: Callable[[str | None], str],
        project: str | None,
        handler: Handler,
        quarantine: Quarantine,
        stop: threading.Event,
        label_selector: str | None = None,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """``path_of`` says where objects of this kind are: in all namespaces (None) or in one."""
        path = path_of(project)
        # Of a quiet watch nothing is heard before it ends.
        super().__init__(
            name=f"informer {path}", stop=stop, patience_seconds=WATCH_SECONDS + QUIET_SECONDS + PATIENCE_SECONDS
        )
        self._cluster = cluster
        self._kind = kind
        self._path_of = path_of
        self._path = path
        self._handler = handler
        self._quarantine = quarantine
        self._order = threading.RLock()
        """Held while an object is handed on, and from asking for one again until it is handed on."""
        self._selector = label_selector
        self._heard = heard
        self._stream: Stream | None = None
        self._version = ""
        self.synced = threading.Event()

    def work(self) -> None:
        delay, broke = 0.2, False
        while not self.stop_event.is_set():
            self.beat()
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
                if self.stop_event.is_set():
                    return
                if error.status == 410:
                    self._version = ""
                    continue
                broke = True
                log.warning("waiting for the apiserver", path=self._path, reason=error.message, status=error.status)
                self.stop_event.wait(delay * random.uniform(0.5, 1))  # noqa: S311 - no secret
                delay = min(delay * 2, 5)
            except Exception:
                # A mistake of ours must not end the mirror; listing again gives it another start.
                log.exception("informer", path=self._path)
                self._version = ""
                self.stop_event.wait(5)

    def close(self) -> None:
        """End a watch that waits."""
        stream = self._stream
        if stream is not None:
            stream.close()

    def _list(self) -> None:
        uids: set[str] = set()
        version = ""
        for answer in self._cluster.pages(self._path, query={"labelSelector": self._selector}, timeout=60):
            self.beat()
            for item in answer["items"]:
                uids.add(item["metadata"]["uid"])
                self._hand_on(item, listed=True)
            if self.stop_event.is_set():
                return
            version = answer["metadata"]["resourceVersion"]
        self._handler.listed(uids, int(version))
        self._version = version
        self._heard()
        self.synced.set()

    def _check_place(self) -> None:
        """ExpiredError when the cluster hasn't come as far as we have seen it."""
        query = {"limit": 1, "labelSelector": self._selector}
        newest = self._cluster.read_list(self._path, query=query)["metadata"]["resourceVersion"]
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
        stream = self._stream = self._cluster.stream(self._path, query=query, timeout=WATCH_SECONDS + QUIET_SECONDS)
        try:
            for line in stream.lines():
                if self.stop_event.is_set():
                    return
                self.beat()
                self._take(json_text.decode(line))
        except ValueError as error:
            raise ClusterError(0, f"the watch broke off in the middle: {error}") from error
        finally:
            self._stream = None
            stream.close()

    def _take(self, event: WatchEvent) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            status = cast("WatchStatus", item)
            if status.get("code") == 410:
                raise ExpiredError
            raise ClusterError(int(status.get("code") or 0), str(status.get("message") or "the watch failed"))
        self._heard()
        if kind != "BOOKMARK":
            self._hand_on(item, deleted=kind == "DELETED")
        self._version = item["metadata"]["resourceVersion"]

    def _hand_on(self, item: KubeObject, *, listed: bool = False, deleted: bool = False) -> None:
        """To the handler; an object with which that breaks is set aside, and the next one's turn comes."""
        metadata = item["metadata"]
        uid, name, namespace = metadata["uid"], str(metadata.get("name")), metadata.get("namespace")
        retry = partial(self._again, namespace, name, uid)
        with self._order:
            try:
                if deleted:
                    self._handler.deleted(item)
                else:
                    self._handler.put(item, listed=listed, retry=retry)
            except Exception as error:
                version = str(metadata.get("resourceVersion"))
                self._quarantine.set_aside(
                    self._kind, uid, error, name=f"{namespace}/{name}", version=version, retry=retry
                )

    def _again(self, namespace: str | None, name: str, uid: str) -> None:
        """Read one object from the cluster and hand it on, from any thread. What changes meanwhile comes after it."""
        if not self._order.acquire(timeout=ORDER_SECONDS):
            raise ClusterError(0, "the informer waits for its handler")
        try:
            item = self._read(f"{self._path_of(namespace)}/{name}")
            if item is None or item["metadata"]["uid"] != uid:
                self._quarantine.release(self._kind, uid)
            else:
                self._hand_on(item)
        finally:
            self._order.release()

    def _read(self, path: str) -> KubeObject | None:
        try:
            return self._cluster.get(path, timeout=ORDER_SECONDS)
        except ClusterError as error:
            if not error.not_found:
                raise
        return None
