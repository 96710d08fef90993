"""The audit rows of writes that went on while Postgres was away: kept in Redis, and written by the mirror when it is back.

Redis isn't there to last: rows that wait are lost with it, and beyond a bound none is kept. Each of them is in the log of the
process that did the write as well.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from tidegate_web.shared.clock import Clock
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.times import parse_time
from tidegate_web.store.engine import is_of_the_data
from tidegate_web.store.queries import audit

log = structlog.stdlib.get_logger(__name__)

DONE = "done"
KEY = "tg:audit"
MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One write, and its outcome."""

    at: datetime
    actor: str
    address: str
    action: str
    outcome: str
    project: str | None
    target: str | None
    detail: JsonObject

    def as_text(self) -> str:
        return json.dumps(asdict(self) | {"at": self.at.isoformat()})

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """None for what is no entry of ours."""
        try:
            fields = json.loads(text)
            at = parse_time(fields.pop("at"))
            return None if at is None else cls(at=at, **fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


@dataclass(kw_only=True)
class AuditAction:
    """A write that is under way, to be written down with its outcome when that is known: on its own, or together with what
    it stores."""

    clock: Clock
    actor: str
    address: str
    action: str
    project: str | None
    target: str | None
    detail: Mapping[str, object]
    written: bool = False
    """Set by code that writes its entry together with something else."""
    _at: datetime | None = None

    def entry(self, outcome: str = DONE) -> Entry:
        """Asked again, it gives the same time: by that an entry which may have been written is recognized."""
        self._at = self._at or self.clock.now()
        return Entry(
            at=self._at,
            actor=self.actor,
            address=self.address,
            action=self.action,
            outcome=outcome,
            project=self.project,
            target=self.target,
            detail=dict(self.detail),
        )


class AuditSpool:
    """Those that wait, oldest first."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def keep(self, entry: Entry) -> bool:
        """Keep one for later; False when that can't be."""
        try:
            if int(str(self._redis.llen(KEY))) >= MOST:
                return False
            self._redis.rpush(KEY, entry.as_text())
        except RedisError:
            return False
        return True

    def write(self, engine: Engine, *, limit: int = 500) -> int:
        """Write some that wait; how many there were. A mirror that is cut off in between writes none a second time."""
        try:
            found = self._redis.lrange(KEY, 0, limit - 1)
            waiting = [text for text in found if isinstance(text, bytes)] if isinstance(found, list) else []
            if not waiting:
                return 0
            entries = [entry for entry in map(Entry.parse, waiting) if entry is not None]
            try:
                _write(engine, entries)
            except Exception as error:
                if not is_of_the_data(error):
                    raise
                # One that Postgres refuses, which others may write there, holds up no other.
                for entry in entries:
                    _write_one(engine, entry)
            # One by one and by what they say: another mirror may do the same at this moment.
            for text in waiting:
                self._redis.lrem(KEY, 1, text)  # type: ignore[arg-type]
        except RedisError:
            return 0
        return len(waiting)


def _write(engine: Engine, entries: Sequence[Entry]) -> None:
    with engine.begin() as connection:
        for entry in entries:
            audit.write_late(connection, **asdict(entry))


def _write_one(engine: Engine, entry: Entry) -> None:
    try:
        _write(engine, [entry])
    except Exception as error:
        if not is_of_the_data(error):
            raise
        log.exception("an audit row that can't be written", action=entry.action, target=entry.target)
