"""Payloads that a Task was run with, to start the next one from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject, is_object
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import payloads
from tidegate_web.store.queries.payloads import PayloadRow
from tidegate_web.store.records import is_stored_whole

SHOWN: Final = 5
MOST_CHARACTERS: Final = 16_000
"""A longer payload is nothing to start a form from."""


@dataclass(frozen=True, kw_only=True)
class RecentPayload:
    """A payload, and the last run that had it."""

    run_uid: str
    run_name: str
    at: datetime
    payload: JsonObject


def recent_payloads(made: Services, project: str, task: str) -> list[RecentPayload]:
    """Those that differ, newest first; none while Postgres is away."""

    def stored() -> list[RecentPayload]:
        with made.engine.connect() as connection:
            rows = payloads.latest(connection, project=project, task=task, most_characters=MOST_CHARACTERS)
        return distinct(rows)

    return with_fallback(stored, list)


def distinct(rows: Sequence[PayloadRow]) -> list[RecentPayload]:
    """The first of each payload that is an object with something in it, and that the archive has whole."""
    found: dict[str, RecentPayload] = {}
    for row in rows:
        payload: object = json.loads(row.text)
        if not is_object(payload) or not payload or not is_stored_whole(payload) or row.text in found:
            continue
        found[row.text] = RecentPayload(run_uid=row.uid, run_name=row.name, at=row.created, payload=payload)
        if len(found) == SHOWN:
            break
    return list(found.values())
