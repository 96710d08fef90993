"""Statuses that sum up what goes on around an object: written when they have changed, and at most once a second.

An echo of such a write, and each run that changes, ask for the status again at once.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from tidegate_operator.control.workqueue import NOTHING, Work
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.paths import own_path
from tidegate_operator.state.cache import Cache

PAUSE_SECONDS: Final = 1.0


class Reported(Protocol):
    """A record of an object with such a status."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def status(self) -> Mapping[str, object]: ...


class PacedStatus:
    """The statuses of one kind."""

    def __init__(self, client: KubeClient, cache: Cache, *, kind: str, clock: Callable[[], float]) -> None:
        self._client, self._cache, self._kind, self._clock = client, cache, kind, clock
        self._written: dict[str, float] = {}

    def report(self, ident: str, record: Reported, status: Mapping[str, object]) -> Work:
        """Write `status` if the record has another one, now or when the pause is over."""
        if status == record.status:
            return NOTHING
        again_at = self._written.get(ident, 0.0) + PAUSE_SECONDS
        if 0 < again_at - self._clock() <= PAUSE_SECONDS:  # further off: the clock was set back
            return Work(wake_at=again_at)
        return Work(partial(self._write, ident, record, status))

    def forget(self, ident: str) -> None:
        """The object is gone."""
        self._written.pop(ident, None)

    async def _write(self, ident: str, record: Reported, status: Mapping[str, object]) -> None:
        self._written[ident] = self._clock()
        path = own_path(self._kind, record.namespace, record.name)
        made = await self._client.write_status(path, status, version=record.version, resource=self._kind)
        self._cache.upserted(self._kind, made)
