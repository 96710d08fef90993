"""All runs that a filter finds, piece by piece: a long list is neither held in memory nor read in one statement."""

from collections.abc import Iterator
from typing import Final

from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import run_list
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.run_rows import ListedRunRow

MOST_EXPORTED: Final = 100_000
PIECE: Final = 500


def export(made: Services, project: str, wanted: RunFilter) -> Iterator[ListedRunRow]:
    """Runs of the archive, newest first. Raises Problem 422 where there are more than ``MOST_EXPORTED``, before the first."""
    require_project(made, project)
    matching = run_list.matching(project, wanted)
    with made.engine.connect() as connection:
        found = run_list.count_matching(connection, matching, most=MOST_EXPORTED + 1)
    if found > MOST_EXPORTED:
        raise Problem(422, f"More than {MOST_EXPORTED} runs match. Narrow the filter.")
    return _pieces(made, project, wanted)


def _pieces(made: Services, project: str, wanted: RunFilter) -> Iterator[ListedRunRow]:
    after: str | None = None
    while True:
        with made.engine.connect() as connection:
            page = run_list.page(connection, project=project, wanted=wanted, limit=PIECE, after=after)
        yield from page.rows
        if page.after is None:
            return
        after = page.after
