"""What informers have seen, handed to the cache."""

from typing import Literal

from tidegate_api.objects import KubeObject

from tidegate_operator.state.cache import Cache


class PodSink:
    """Where the findings of the informers of pods go: the cache, which has all pods once each informer has listed its own."""

    def __init__(self, cache: Cache, *, namespace: str | None, unlisted: set[str | None]) -> None:
        """`namespace`: the one that the informer follows; `unlisted`: those that no informer has listed yet, this included."""
        self._cache, self._namespace, self._unlisted = cache, namespace, unlisted

    def upserted(self, body: KubeObject) -> None:
        """A pod is as given."""
        self._cache.upserted("pods", body)

    def deleted(self, body: KubeObject) -> None:
        """A pod is gone, or has left the selector."""
        self._cache.deleted("pods", body)

    def listed(self, uids: list[str], *, version: int) -> None:
        """A whole list of pods is through: those that it lacks are looked for one by one."""
        self._cache.missing_pods(uids, version=version, namespace=self._namespace)
        self._unlisted.discard(self._namespace)
        if not self._unlisted:
            self._cache.synced("pods")


class PoolSink:
    """Where the findings of an informer of Deployments or of worker pods go."""

    def __init__(
        self, cache: Cache, kind: Literal["deployments", "workers"], *, namespace: str | None, unlisted: set[str | None]
    ) -> None:
        """As of a PodSink."""
        self._cache, self._kind, self._namespace, self._unlisted = cache, kind, namespace, unlisted

    def upserted(self, body: KubeObject) -> None:
        """An object is as given."""
        self._cache.upserted(self._kind, body)

    def deleted(self, body: KubeObject) -> None:
        """An object is gone, or has left the selector."""
        self._cache.deleted(self._kind, body)

    def listed(self, uids: list[str], *, version: int) -> None:
        """A whole list is through: those that it lacks are gone."""
        pools = self._cache.pools
        forget = pools.listed_deployments if self._kind == "deployments" else pools.listed_workers
        forget(uids, version=version, namespace=self._namespace)
        self._unlisted.discard(self._namespace)
        if not self._unlisted:
            self._cache.synced(self._kind)
