"""Active runs of a queue, by their concurrency key."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.store.models import Run
from tidegate_web.store.queries.run_list import KEY
from tidegate_web.store.rows import all_rows

LOOKED_AT = 5_000
"""Active runs of a queue that are looked at: a key is in the spec, which has to be read for it."""
RUNNING = ("Starting", "Running")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key; the empty one is that of runs without."""

    key: str
    running: int
    waiting: int


def of_queue(connection: Connection, *, project: str, queue: str) -> list[KeyRow]:
    """Those with most runs first. What has begun holds a slot; what is Pending or Retrying waits for one."""
    active = (
        select(func.coalesce(KEY, "").label("key"), Run.phase)
        .where(Run.project == project, Run.queue == queue, Run.phase.in_(ACTIVE_PHASES))
        .limit(LOOKED_AT)
        .subquery("active")
    )
    runs, holds = func.count(), active.c.phase.in_(RUNNING)
    statement = (
        select(active.c.key, runs.filter(holds).label("running"), runs.filter(~holds).label("waiting"))
        .group_by(active.c.key)
        .order_by(runs.desc(), active.c.key)
    )
    return all_rows(KeyRow, connection.execute(statement))
