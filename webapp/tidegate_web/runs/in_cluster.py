"""Runs as the cluster has them, for the time when Postgres is away: fewer, and without what only the archive knows.

The apiserver lists by name and finds by little else, so a project's runs are listed whole, up to a bound, and what a list is
narrowed to is looked for among them. The last list is good for a moment, however many people look.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from tidegate_web.cluster.client import PAGE, Cluster, runs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES
from tidegate_web.store.queries.run_list import Counts, Page, RunFilter, decode_cursor, page_of
from tidegate_web.store.records import run_record
from tidegate_web.store.run_rows import ListedRunRow, RunRow, as_row

log = structlog.stdlib.get_logger(__name__)

MOST = 5000
"""Runs of a project that are looked at."""
GOOD_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """The runs of a project, newest first."""

    rows: list[RunRow]
    truncated: bool
    """Whether there are more than are looked at."""
    until: float

    def page(
        self,
        wanted: RunFilter,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        top: str | None = None,
    ) -> Page[ListedRunRow]:
        """What a list of the archive would have, as far as the cluster has it."""
        rows = [row for row in self.rows if _fits(row, wanted)]
        if before is not None:
            place = decode_cursor(before)
            rows = [row for row in rows if (row.created, row.uid) > place]
        elif after is not None:
            place = decode_cursor(after)
            rows = [row for row in rows if (row.created, row.uid) < place]
        elif top is not None:
            place = decode_cursor(top)
            rows = [row for row in rows if (row.created, row.uid) <= place]
        page = page_of(rows, limit, after=after, before=before)
        return Page(rows=[row.listed() for row in page.rows], after=page.after, before=page.before)

    def newer(self, wanted: RunFilter, *, top: str, most: int) -> int:
        """How many that match are newer than the one that the list begins with."""
        place = decode_cursor(top)
        return min(most, sum(_fits(row, wanted) and (row.created, row.uid) > place for row in self.rows))

    def counts(self, *, now: datetime) -> Counts:
        """The numbers above the list."""
        since = now - timedelta(days=1)
        ended = (row for row in self.rows if row.phase in TERMINAL_PHASES and (row.finished_at or row.created) >= since)
        return Counts(
            active=Counter(row.phase for row in self.rows if row.phase in ACTIVE_PHASES),
            ended=Counter(row.phase for row in ended),
        )

    def started_by(self, parents: Collection[str], since: datetime, until: datetime, limit: int) -> list[RunRow]:
        """As the archive would say it."""
        rows = [row for row in self.rows if row.parent_run in parents and since <= row.created < until]
        return rows[::-1][:limit]

    def choices(self) -> tuple[list[str], list[str]]:
        """Tasks and queues, for the list's filters."""
        return _names(row.task for row in self.rows), _names(row.queue for row in self.rows)


class ClusterRuns:
    """Asks the apiserver for them; ClusterError while that is away too."""

    def __init__(self, *, cluster: Cluster, default_ttl_seconds: int) -> None:
        self._cluster = cluster
        self._default_ttl = default_ttl_seconds
        self._found: dict[str, Found] = {}
        self._lock = threading.Lock()

    def row(self, resource: KubeObject) -> RunRow:
        """One TaskRun, as a row of the archive would say it."""
        return as_row(run_record(resource, default_ttl_seconds=self._default_ttl), from_cluster=True)

    def one(self, project: str, reference: str) -> RunRow | None:
        """The run of that name or uid, None when the cluster hasn't it."""
        if is_dns_label(reference):
            try:
                return self.row(self._cluster.get_run(project, reference))
            except ClusterError as error:
                if not error.not_found:
                    raise
        return next((row for row in self.of(project).rows if row.uid == reference), None)

    def of(self, project: str) -> Found:
        """All of a project."""
        with self._lock:  # a request that comes while it is asked gets the same answer
            now = time.monotonic()
            self._found = {name: found for name, found in self._found.items() if found.until > now}
            if project not in self._found:
                self._found[project] = self._list(project)
            return self._found[project]

    def forget(self, project: str) -> None:
        """Something was changed there: who looks next sees it."""
        with self._lock:
            self._found.pop(project, None)

    def _list(self, project: str) -> Found:
        rows: list[RunRow] = []
        truncated = False
        for page in self._cluster.pages(runs_path(project)):
            for item in page["items"]:
                try:
                    rows.append(self.row(item))
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                    log.exception("a TaskRun that can't be understood", name=item.get("metadata", {}).get("name"))
            truncated = len(rows) > MOST - PAGE and bool(page["metadata"].get("continue"))
            if truncated:
                break
        rows.sort(key=lambda row: (row.created, row.uid), reverse=True)
        return Found(rows=rows, truncated=truncated, until=time.monotonic() + GOOD_SECONDS)


def _fits(row: RunRow, wanted: RunFilter) -> bool:
    asked = (
        (wanted.reason, row.reason),
        (wanted.task, row.task),
        (wanted.queue, row.queue),
        (wanted.batch, row.batch),
        (wanted.schedule, row.schedule),
        (wanted.parent, row.parent_run),
        (wanted.key, row.spec.get("concurrencyKey")),
        (wanted.requested_by, row.submitted_by or row.requested_by),
    )
    return (
        all(value is None or value == has for value, has in asked)
        and (not wanted.phases or row.phase in wanted.phases)
        and (wanted.tag is None or wanted.tag in row.tags)
        and (wanted.since is None or row.created >= wanted.since)
        and (wanted.until is None or row.created < wanted.until)
        and (wanted.text is None or _has_text(row, wanted.text))
    )


def _has_text(row: RunRow, text: str) -> bool:
    looked_for = text.lower()
    return looked_for in row.name.lower() or looked_for in (row.message or "").lower() or text in row.tags


def _names(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value})
