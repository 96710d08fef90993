"""Lists of runs, of the archive or, while Postgres is away, of the cluster; and what a run has started, as a tree."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from tidegate_web.runs.in_cluster import Found
from tidegate_web.runs.run_tree import RunTree, run_tree_of
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import run_list
from tidegate_web.store.queries.run_list import Counts, Page, RunFilter
from tidegate_web.store.run_rows import ListedRunRow, RunRow, RunSummaryRow

T = TypeVar("T")

MOST_COUNTED: Final = 100
"""New runs are counted up to this number."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A piece of a list."""

    page: Page[ListedRunRow]
    from_cluster: bool = False
    truncated: bool = False
    """Of the cluster's list: whether there are more runs than were looked at."""


@dataclass(frozen=True, kw_only=True)
class Overview(Listed):
    """The same, with the numbers above the list and what it may be narrowed to."""

    newer: int
    """Runs that match and came since the first one that is shown; ``MOST_COUNTED`` where there are more."""
    counts: Counts
    tasks: list[str]
    queues: list[str]


def listed(made: Services, project: str, wanted: RunFilter, *, limit: int, after: str | None) -> Listed:
    """A piece of a project's list, newest first."""

    def stored() -> Listed:
        with made.engine.connect() as connection:
            return Listed(page=run_list.page(connection, project=project, wanted=wanted, limit=limit, after=after))

    def in_cluster(found: Found) -> Listed:
        page = found.page(wanted, limit=limit, after=after)
        return Listed(page=page, from_cluster=True, truncated=found.truncated)

    return _with_cluster(made, project, stored, in_cluster)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which piece of a list: after a cursor or before one, or from ``top`` on; without any the newest runs."""

    after: str | None = None
    before: str | None = None
    top: str | None = None


def overview(
    made: Services,
    project: str,
    wanted: RunFilter,
    place: Place,
    *,
    limit: int,
    now: datetime,
    of_spec: bool = False,
) -> Overview:
    """What the list's page shows; ``of_spec``: with their priorities and keys. Before the newest runs there is no
    full piece: that place is the newest page."""

    def found_at(page: Callable[..., Page[ListedRunRow]]) -> Page[ListedRunRow]:
        found = page(after=place.after, before=place.before, top=place.top)
        return page() if place.before is not None and found.before is None else found

    def stored() -> Overview:
        with made.engine.connect() as connection:
            page = found_at(
                partial(run_list.page, connection, project=project, wanted=wanted, limit=limit, of_spec=of_spec)
            )
            newer = 0
            if place.top is not None:
                newer = run_list.count_newer(
                    connection, project=project, wanted=wanted, top=place.top, most=MOST_COUNTED
                )
            counts = run_list.counts(connection, project=project, now=now)
            tasks, queues = run_list.choices(connection, project=project)
        return Overview(page=page, newer=newer, counts=counts, tasks=tasks, queues=queues)

    def in_cluster(found: Found) -> Overview:
        tasks, queues = found.choices()
        return Overview(
            page=found_at(partial(found.page, wanted, limit=limit)),
            newer=found.newer(wanted, top=place.top, most=MOST_COUNTED) if place.top is not None else 0,
            counts=found.counts(now=now),
            tasks=tasks,
            queues=queues,
            from_cluster=True,
            truncated=found.truncated,
        )

    return _with_cluster(made, project, stored, in_cluster)


def count_or_none(made: Services, project: str, wanted: RunFilter, *, most: int) -> int | None:
    """How many runs match, one above ``most`` if more; None while Postgres is away."""

    def counted() -> int:
        with made.engine.connect() as connection:
            found = run_list.matching(project, wanted)
            return run_list.count_matching(connection, found, most=most + 1)

    return with_fallback(counted, lambda: None)


def tree(made: Services, run: RunRow, *, now: datetime) -> RunTree:
    """What a run has started."""

    def stored() -> RunTree:
        with made.engine.connect() as connection:

            def ask(parents: Collection[str], since: datetime, until: datetime, limit: int) -> Sequence[RunSummaryRow]:
                return run_list.started_by(
                    connection, project=run.project, parents=parents, since=since, until=until, limit=limit
                )

            return run_tree_of(run, ask, now=now)

    def in_cluster() -> RunTree:
        return run_tree_of(run, made.runs.in_cluster.of(run.project).started_by, now=now)

    return with_fallback(stored, in_cluster)


def previous(made: Services, run: RunRow, *, limit: int = 20) -> list[ListedRunRow]:
    """The runs of the same Task before this one, newest first; none for a run with a task of its own."""
    if run.task is None:
        return []
    wanted, before = RunFilter(task=run.task), run_list.encode_cursor(run.created, run.uid)
    return listed(made, run.project, wanted, limit=limit, after=before).page.rows


def _with_cluster(made: Services, project: str, stored: Callable[[], T], in_cluster: Callable[[Found], T]) -> T:
    try:
        return with_fallback(stored, lambda: in_cluster(made.runs.in_cluster.of(project)))
    except run_list.BadCursorError as error:
        raise Problem(422, str(error)) from error
