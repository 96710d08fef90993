"""Looks every few seconds at the namespaces of projects, where the mirror has no right to watch them: where the settings name
the projects, or grant rights in all of the cluster."""

import threading
from collections.abc import Iterator, Sequence

import structlog
from tidegate_api.projects import may_be_project

from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.mirror.namespace_uids import NamespaceUids, ProjectNamespace, try_to_settle
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.worker import Worker

log = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS = 5.0
LOOK_PATIENCE_SECONDS = 60.0
"""One project's move, or one request, takes less."""


class NamespacePoller(Worker):
    """Settles each project in turn. A project that is made again is closed by the web app until that is done."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        namespaces: Sequence[str],
        own_namespace: str,
        uids: NamespaceUids,
        quarantine: Quarantine,
        stop: threading.Event,
    ) -> None:
        super().__init__(name="namespace poller", stop=stop, patience_seconds=LOOK_SECONDS + LOOK_PATIENCE_SECONDS)
        self._cluster = cluster
        self._names = namespaces
        self._own = own_namespace
        self._uids = uids
        self._quarantine = quarantine

    def work(self) -> None:
        while not self.stop_event.is_set():
            self.beat()
            settled = True
            try:
                for namespace in self._present():
                    if not namespace.ending:
                        settled &= try_to_settle(self._uids, namespace, quarantine=self._quarantine)
            except ClusterError as error:
                log.warning("looking at namespaces later", reason=error.message)
            except Exception:
                log.exception("looking at namespaces")
            self.stop_event.wait(LOOK_SECONDS if settled else 1.0)

    def _present(self) -> Iterator[ProjectNamespace]:
        for name in self._names:
            self.beat()
            try:
                item = self._cluster.get_namespace(name)
            except ClusterError as error:
                if error.status != 403:
                    raise
                log.warning("a namespace can't be read", namespace=name, reason=error.message)
                continue
            if item is not None:
                yield ProjectNamespace.of(item)
        if not self._names:
            for item in self._cluster.project_namespaces():
                if may_be_project(item["metadata"]["name"], own=self._own):
                    yield ProjectNamespace.of(item)
