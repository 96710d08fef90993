"""Payloads of the latest runs of a Task."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, cast, func, select

from tidegate_web.store.models import Run
from tidegate_web.store.rows import all_rows

LOOKED_AT = 30
"""Runs of which the payloads are read."""


@dataclass(frozen=True, slots=True)
class PayloadRow:
    """The payload of a run, as JSON."""

    uid: str
    name: str
    created: datetime
    text: str


def latest(connection: Connection, *, project: str, task: str, most_characters: int) -> list[PayloadRow]:
    """Those that aren't longer, newest first."""
    runs = (
        select(Run.uid, Run.name, Run.created, cast(Run.spec["payload"], Text).label("text"))
        .where(Run.project == project, Run.task == task)
        .order_by(Run.created.desc(), Run.uid.desc())
        .limit(LOOKED_AT)
        .subquery("latest")
    )
    short = select(*runs.c).where(func.length(runs.c.text) <= most_characters)
    return all_rows(PayloadRow, connection.execute(short.order_by(runs.c.created.desc(), runs.c.uid.desc())))
