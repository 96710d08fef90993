"""What runs tell of themselves: one JSON object a run, changed by one request at a time."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, false, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import Outbox, Run, RunMetadata
from tidegate_web.store.queries import run_keys


def of_run(connection: Connection, *, run_uid: str) -> dict[str, Any]:
    """The metadata of a run, empty when it told none."""
    found = connection.execute(select(RunMetadata.data).where(RunMetadata.run_uid == run_uid)).scalar_one_or_none()
    return {} if found is None else dict(found)


def change(
    connection: Connection, *, run_uid: str, at: datetime, apply: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Make the metadata what ``apply`` makes of it. Others that change it at the same time wait for us."""
    connection.execute(pg_insert(RunMetadata).values(run_uid=run_uid, data={}, at=at).on_conflict_do_nothing())
    mine = RunMetadata.run_uid == run_uid
    before = connection.execute(select(RunMetadata.data).where(mine).with_for_update()).scalar_one()
    after = apply(dict(before))
    connection.execute(update(RunMetadata).where(mine).values(data=after, at=at))
    return after


def tell(
    connection: Connection, *, project: str, run_uid: str, run_name: str, attempt: int, changed: list[str]
) -> None:
    """An event for viewers: which keys changed, not to what. It tells nothing of the phase."""
    places = run_keys.created(connection, [run_uid])
    mine = run_keys.rows_of(places, uid=Run.uid, created=Run.created) if places else [false()]
    tags = connection.execute(select(Run.tags).where(*mine)).scalar_one_or_none()
    event = {
        "uid": run_uid,
        "name": run_name,
        "phase": None,
        "reason": None,
        "attempt": attempt,
        "progress": None,
        "metadata": changed,
        "tags": tags or [],
    }
    connection.execute(insert(Outbox).values(project=project, event=event))
