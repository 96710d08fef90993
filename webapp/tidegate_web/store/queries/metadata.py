"""What runs report of themselves: one JSON object a run, changed by one request at a time."""

import json
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Text, cast, false, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.archive_bound import NO_BOUND, ArchiveBound
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models import Outbox, Run, RunMetadata
from tidegate_web.store.queries import project_bytes, run_keys


def of_run(connection: Connection, *, run_uid: str) -> JsonObject:
    """The metadata of a run, empty when it has none."""
    found = connection.execute(select(RunMetadata.data).where(RunMetadata.run_uid == run_uid)).scalar_one_or_none()
    return {} if found is None else dict(found)


def change(
    connection: Connection,
    *,
    project: str,
    run_uid: str,
    at: datetime,
    apply: Callable[[JsonObject], JsonObject],
    bound: ArchiveBound = NO_BOUND,
) -> JsonObject:
    """Make the metadata what ``apply`` makes of it, ProjectFullError where there is no room for that. Others that change it at the
    same time wait for us."""
    made = connection.execute(
        pg_insert(RunMetadata)
        .values(run_uid=run_uid, data={}, at=at)
        .on_conflict_do_nothing()
        .returning(RunMetadata.run_uid)
    ).first()
    mine = RunMetadata.run_uid == run_uid
    size = func.octet_length(cast(RunMetadata.data, Text)).label("size")
    found = connection.execute(select(RunMetadata.data, size).where(mine).with_for_update()).one()
    after = apply(dict(found.data))
    # About as Postgres writes it out, which is what is deleted or recounted later.
    new = project_bytes.document(len(json.dumps(after, ensure_ascii=False).encode()))
    growth = new - (0 if made else project_bytes.document(found.size))
    project_bytes.check(connection, project=project, growth=growth, bound=bound)
    connection.execute(update(RunMetadata).where(mine).values(data=after, at=at))
    project_bytes.add(connection, {project: growth})
    return after


def report(
    connection: Connection, *, project: str, run_uid: str, run_name: str, attempt: int, changed: list[str]
) -> None:
    """An event for viewers: which keys changed, not to what. It says nothing about the phase."""
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
