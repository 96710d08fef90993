"""Labels of namespaces, read when a run asks for access to its host.

Few runs do, and whether one may is decided by the labels at its start: a read at that moment is never stale, needs no more
than `get`, and works the same where the operator may look at some namespaces only. What allows is remembered for a moment, so
that many such runs don't cost a read each; what refuses never is, since a refusal is final.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from tidegate_api.objects import KubeObject
from tidegate_api.pod_security import decides_itself

from tidegate_operator.kube.client import METADATA, KubeClient
from tidegate_operator.kube.errors import KubeError

REMEMBERED_SECONDS: Final = 5.0


class NamespaceLabels:
    """The labels of namespaces as they are now, or were a moment ago where they allow access to the host."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._allowing: dict[str, tuple[float, Mapping[str, str]]] = {}

    async def read(self, namespace: str) -> Mapping[str, str] | None:
        """The labels, empty for a namespace that is gone; None where they may not be read."""
        now = self._clock()
        self._allowing = {name: entry for name, entry in self._allowing.items() if now < entry[0]}
        if (known := self._allowing.get(namespace)) is not None:
            return known[1]
        try:
            found = await self._client.get(
                f"/api/v1/namespaces/{namespace}", KubeObject, resource="namespaces", accept=METADATA
            )
        except KubeError as error:
            if error.code == 403:
                return None
            if error.code != 404:
                raise
            return {}
        labels: Mapping[str, str] = found["metadata"].get("labels") or {}
        if decides_itself(labels):
            self._allowing[namespace] = (now + REMEMBERED_SECONDS, labels)
        return labels
