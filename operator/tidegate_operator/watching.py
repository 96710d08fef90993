"""The only module that knows kopf: it gives us the watches and re-lists of our own four kinds, and nothing else.

Only `on.event` handlers: every other kind of handler makes kopf write to the objects, and an index makes each object wake
every waiter. Storages that store nothing spare it the computing of a diff base for every event.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final, cast

import kopf

# The type of an argument of `kopf.operator`, which kopf gives no public name.
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from tidegate_api.names import GROUP, VERSION

from tidegate_operator.kube import Cluster
from tidegate_operator.metrics import Metrics
from tidegate_operator.observer import Observer

KINDS: Final = ("taskruns", "tasks", "queues", "schedules")
BACKOFFS: Final = (0.1, 0.2, 0.5, 1, *[2] * 30)
"""Seconds between tries while the apiserver is away: short, and capped, so that work goes on soon after it is back."""


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-seen state: nothing here asks for differences."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None, **_: Any) -> Any:
        """An empty essence."""
        return {}

    def fetch(self, *, body: kopf.Body) -> Any:
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no handler progress: event handlers have none."""

    def fetch(self, *, key: Any, body: kopf.Body) -> Any:
        """Nothing was stored."""
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """There is nothing to purge."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: Any) -> None:
        """Leave the object alone."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing of ours is in it."""
        return essence


class NoMemories(ResourceMemories):
    """Remembers nothing of an object between its events: only daemons and memos, which nobody has here, need that."""

    async def recall(
        self, raw_body: Any, *, memobase: Any = None, noticed_by_listing: bool = False, ephemeral: bool = False
    ) -> ResourceMemory:
        """A memory for one event."""
        return await super().recall(raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True)


def build_registry(cluster: Cluster, observer: Observer, metrics: Metrics) -> kopf.OperatorRegistry:
    """The registrations, in one place."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        # Asked again whenever the apiserver answers 401: the kubelet renews the token's file.
        token = cluster.token
        if cluster.token_file is not None:
            token = cluster.token_file.read_text(encoding="ascii").strip()
        return kopf.ConnectionInfo(
            server=cluster.server,
            ca_data=cluster.ca.encode() if cluster.ca else None,
            insecure=cluster.insecure or None,
            scheme="Bearer" if token else None,
            token=token,
            certificate_data=cluster.certificate.encode() if cluster.certificate else None,
            private_key_data=cluster.key.encode() if cluster.key else None,
        )

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.persistence.diffbase_storage = NoDiffBase()
        settings.persistence.progress_storage = NoProgress()
        settings.persistence.consistency_timeout = 0
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.networking.error_backoffs = BACKOFFS
        settings.networking.connect_timeout = 5
        settings.watching.connect_timeout = 5
        # A worker keeps its object's last body while it idles, and the first list makes a worker of every object.
        settings.queueing.idle_timeout = 0.1

    for kind in KINDS:
        _register(registry, kind, observer, metrics)
    return registry


def _register(registry: kopf.OperatorRegistry, kind: str, observer: Observer, metrics: Metrics) -> None:
    @kopf.on.event(GROUP, VERSION, kind, registry=registry, id=f"see-{kind}")
    async def see(event: Any, **_: Any) -> None:
        metrics.last_event.labels(kind).set_to_current_time()
        if event["type"] == "DELETED":
            observer.lost(kind, event["object"])
        else:
            observer.saw(kind, event["object"])


async def watch_own_kinds(
    cluster: Cluster,
    observer: Observer,
    metrics: Metrics,
    *,
    namespaces: Collection[str],
    stop: asyncio.Event,
) -> None:
    """Run kopf until `stop` is set or SIGTERM comes, which it takes for itself.

    Raises what ends kopf before: any error of a watch but 410.
    """
    await kopf.operator(
        registry=build_registry(cluster, observer, metrics),
        stop_flag=stop,
        memories=NoMemories(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        # Else kopf asks for the user's name, which an arbitrary uid in a container hasn't got.
        identity=cast("Any", "tidegate-operator"),
    )
