"""What the creation of runs leaves: their rows with an event each, their idempotency keys, and who did it. One statement,
for one run as for a thousand, and so one round trip and one transaction.

The mirror writes the same rows at the same time (``runs.upsert``). The second of them waits for the first, and both take the
locks in one order: ``run_keys``, ``runs``, ``idempotency_keys``, each by uid. In a statement of many parts only what a part
reads of another says which comes first; hence the joins with ``key`` and ``run``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import IntegrityError

from tidegate_web.store import partitions
from tidegate_web.store.engine import at_once
from tidegate_web.store.records import RunRecord, clean, event_of

_NO_PARTITION = "23514"


@dataclass(frozen=True, kw_only=True)
class UsedKey:
    """An idempotency key and the run that it has made."""

    project: str
    task: str
    key: str
    digest: bytes
    run_uid: str
    created: datetime


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that the apiserver has just answered to its creation, in the version that it answered."""

    record: RunRecord
    submitted_by: str
    key: UsedKey | None = None
    audit: Mapping[str, object] | None = None
    """The audit row of its creation, where that is its own."""


def keep(engine: Engine, made: Sequence[NewRun]) -> None:
    """Write all that there is to write of new runs."""
    keys = [one.key for one in made if one.key is not None]
    values = {
        "runs": _json(one.record.columns() | {"submitted_by": one.submitted_by} for one in made),
        "events": _json({"uid": one.record.uid, "event": event_of(one.record)} for one in made),
        "keys": _json({**vars(key), "digest": f"\\x{key.digest.hex()}"} for key in keys),
        "audit": _json(clean(one.audit) for one in made if one.audit is not None),
    }
    try:
        _write(engine, values)
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_PARTITION:
            raise
        with engine.begin() as connection:
            partitions.ensure(connection, [one.record.created for one in made])
        _write(engine, values)


def _write(engine: Engine, values: Mapping[str, str]) -> None:
    connection: Connection
    with at_once(engine) as connection:
        connection.execute(_keep(), values)


def _json(rows: Iterable[Mapping[str, object]]) -> str:
    return json.dumps(list(rows), default=datetime.isoformat, separators=(",", ":"))


@cache
def _keep() -> TextClause:
    """Of rows of the mirror that came first only ``submitted_by`` isn't known: they are of this version or a newer one."""
    columns = ", ".join((*RunRecord.__slots__, "submitted_by"))
    return text(f"""
WITH new AS MATERIALIZED (
  SELECT * FROM jsonb_populate_recordset(NULL::runs, CAST(:runs AS jsonb)) AS new
  WHERE NOT EXISTS (SELECT FROM erased_runs WHERE erased_runs.uid = new.uid)
), key AS (
  INSERT INTO run_keys (uid, project, name, created) SELECT uid, project, name, created FROM new ORDER BY uid
  ON CONFLICT (uid) DO NOTHING RETURNING uid
), run AS (
  INSERT INTO runs ({columns}) SELECT {columns} FROM new LEFT JOIN key USING (uid) ORDER BY uid
  ON CONFLICT (uid, created) DO UPDATE SET submitted_by = coalesce(runs.submitted_by, excluded.submitted_by) RETURNING uid
), event AS (
  INSERT INTO outbox (project, event)
  SELECT new.project, events.event FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS events (uid uuid, event jsonb)
  JOIN key USING (uid) JOIN new USING (uid) ORDER BY uid
), used AS (
  INSERT INTO idempotency_keys (project, task, key, digest, run_uid, created)
  SELECT project, task, keys.key, digest, run_uid, created
  FROM jsonb_populate_recordset(NULL::idempotency_keys, CAST(:keys AS jsonb)) AS keys LEFT JOIN run ON run.uid = keys.run_uid
  ORDER BY project, task, keys.key
  ON CONFLICT (project, task, key) DO UPDATE SET run_uid = excluded.run_uid WHERE idempotency_keys.run_uid IS NULL
)
INSERT INTO audit (at, actor, address, action, project, target, outcome, detail)
SELECT at, actor, address, action, project, target, outcome, detail
FROM jsonb_populate_recordset(NULL::audit, CAST(:audit AS jsonb))
""")  # noqa: S608 - our own names
