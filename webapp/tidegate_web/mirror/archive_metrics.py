"""How much the archive keeps, as metrics. Their number is bounded, and they name no project where tenants must not learn each other's
names."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Engine

from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.queries import project_bytes

MOST_SERIES = 200
OTHERS = ""
"""The name of the sum over projects that aren't named."""


class ArchiveMetrics:
    """The series of a process; empty while it doesn't lead."""

    def __init__(self, *, registry: CollectorRegistry, bound: ArchiveBound, by_namespace: bool) -> None:
        self._bound = bound
        self._most = MOST_SERIES if by_namespace else 0
        self._bytes = Gauge(
            "tidegate_archive_bytes", "Bytes that the archive keeps, of the largest projects each and of all others.", ["namespace"],
            registry=registry,
        )  # fmt: skip
        self._full = Gauge(
            "tidegate_archive_full_projects", "Projects that have used 95 % of the bytes that the archive keeps for one.",
            registry=registry,
        )  # fmt: skip

    def look(self, engine: Engine) -> None:
        """Read the counters."""
        with engine.connect() as connection:
            self.show(project_bytes.of_all(connection))

    def show(self, used: Mapping[str, int]) -> None:
        """Replace the series by these."""
        largest = sorted(used, key=lambda project: (-used[project], project))
        self._bytes.clear()
        for project in largest[: self._most]:
            self._bytes.labels(project).set(max(0, used[project]))
        if others := largest[self._most :]:
            self._bytes.labels(OTHERS).set(sum(max(0, used[project]) for project in others))
        self._full.set(sum(self._bound.is_as_good_as_used(each) for each in used.values()))

    def clear(self) -> None:
        """Another mirror leads."""
        self._bytes.clear()
        self._full.set(0)
