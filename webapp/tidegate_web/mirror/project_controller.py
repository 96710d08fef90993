"""Follows which namespaces are projects, where the web app has rights in these alone: what is labelled is bound to its
namespace's uid, gets our RoleBindings and is watched, in this order; what isn't any more loses the last two.

What the cluster says is looked at as a whole each time, so that whatever was missed, undone by hand or left half done is
put right.
"""

import threading
from collections.abc import Callable
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tidegate_api.projects import PROJECT_SELECTOR, may_be_project

from tidegate_web.cluster.client import NAMESPACES, Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.mirror.bindings import Bindings
from tidegate_web.mirror.informer import Informer
from tidegate_web.mirror.namespace_uids import NamespaceUids, ProjectNamespace, try_to_settle
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.mirror.scopes import Scopes
from tidegate_web.shared.worker import Worker
from tidegate_web.store.queries import runs

log = structlog.stdlib.get_logger(__name__)

KIND = "Namespace"
PROJECT = "Project"
"""What is set aside: a namespace that can't be read, and a project in which granting breaks."""
LOOK_SECONDS = 30.0
RETRY_SECONDS = 1.0


class ProjectController(Worker):
    """Looks whenever a namespace gets or loses the label, and now and then."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        engine: Engine,
        bindings: Bindings,
        scopes: Scopes,
        uids: NamespaceUids,
        own_namespace: str,
        gone: Callable[[str, int], None],
        quarantine: Quarantine,
        stop: threading.Event,
    ) -> None:
        """``gone`` is called with projects whose namespace was deleted, and in which version of the cluster."""
        super().__init__(name="project controller", stop=stop)
        self._cluster = cluster
        self._engine = engine
        self._bindings = bindings
        self._scopes = scopes
        self._uids = uids
        self._own = own_namespace
        self._gone = gone
        self._quarantine = quarantine
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._labelled: dict[str, ProjectNamespace] = {}
        self._version = 0
        self._unchecked = False
        self.informer = Informer(
            cluster=cluster,
            kind=KIND,
            path_of=lambda project: NAMESPACES,
            project=None,
            handler=self,
            quarantine=quarantine,
            stop=stop,
            label_selector=PROJECT_SELECTOR,
        )

    # Called by the informer.

    def put(self, item: KubeObject, *, listed: bool, retry: Callable[[], None]) -> None:
        del listed, retry
        metadata = item["metadata"]
        if may_be_project(metadata["name"], own=self._own):
            namespace = ProjectNamespace.of(item)
            with self._lock:
                self._labelled[namespace.uid] = namespace
        self._quarantine.release(KIND, metadata["uid"])
        self._news.set()

    def deleted(self, item: KubeObject) -> None:
        metadata = item["metadata"]
        with self._lock:
            self._labelled.pop(metadata["uid"], None)
        # Else it is there still, and only its label is gone.
        if metadata.get("deletionTimestamp"):
            self._gone(metadata["name"], int(metadata["resourceVersion"]))
        self._quarantine.release(KIND, metadata["uid"])
        self._news.set()

    def listed(self, uids: set[str], resource_version: int) -> None:
        with self._lock:
            self._labelled = {uid: each for uid, each in self._labelled.items() if uid in uids}
            self._version, self._unchecked = resource_version, True
        self._news.set()

    # What is done about it.

    def work(self) -> None:
        while not self.informer.synced.wait(1):
            self.beat()
        while not self.stop_event.is_set():
            self.beat()
            self._news.clear()
            pause = LOOK_SECONDS if self._look() else RETRY_SECONDS
            self._news.wait(pause)

    def close(self) -> None:
        """End what waits; the stop is set already."""
        self.informer.synced.set()
        self._news.set()
        self.informer.close()

    def _look(self) -> bool:
        """Once over everything; False when something has to be tried again."""
        with self._lock:
            labelled = list(self._labelled.values())
            unchecked, self._unchecked = self._unchecked, False
        wanted = {each.project for each in labelled}
        for scope in self._scopes.now():
            self.beat()
            if scope.project is not None and scope.project not in wanted:
                self._scopes.end(scope.project)
        unsettled = {
            each.project
            for each in labelled
            if not each.ending and not try_to_settle(self._uids, each, quarantine=self._quarantine)
        }
        good = self._try("granting", partial(self._grant, labelled, unsettled)) and not unsettled
        for project in sorted(wanted - unsettled):
            self._scopes.begin(project)
        if unchecked and not self._try("looking for deleted namespaces", partial(self._find_gone, wanted)):
            with self._lock:
                self._unchecked = True
            good = False
        return good

    def _grant(self, labelled: list[ProjectNamespace], unsettled: set[str]) -> None:
        present = self._bindings.present()
        # A namespace that is being deleted takes nothing new, and loses everything by itself.
        ending = {each.project for each in labelled if each.ending}
        wanted = {each.project for each in labelled} - ending
        failed: ClusterError | None = None
        for project in sorted((wanted | present.keys()) - ending - unsettled):
            self.beat()
            try:
                there = present.get(project, set())
                if project in wanted:
                    self._bindings.complete(project, there)
                else:
                    self._bindings.remove(project, there)
            except ClusterError as error:
                # The others don't wait for this one.
                log.warning("granting in a project", project=project, reason=error.message)
                failed = error
            except Exception as error:
                self._quarantine.set_aside(PROJECT, project, error, name=project)
            else:
                self._quarantine.release(PROJECT, project)
        if failed is not None:
            raise failed

    def _find_gone(self, wanted: set[str]) -> None:
        """Nothing else will ever report a namespace that was deleted while no mirror watched."""
        with self._engine.connect() as connection:
            stored = runs.projects_in_cluster(connection)
        for project in sorted(stored - wanted):
            self.beat()
            if self._cluster.get_namespace(project) is None:
                self._gone(project, self._version)

    def _try(self, what: str, step: Callable[[], None]) -> bool:
        try:
            step()
        except (ClusterError, SQLAlchemyError) as error:
            log.warning(f"{what} later", reason=str(error).partition("\n")[0])
            return False
        except Exception:
            log.exception(what)
            return False
        return True
