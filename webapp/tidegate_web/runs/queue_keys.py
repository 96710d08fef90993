"""Which concurrency keys run and wait in a queue."""

from dataclasses import dataclass

from tidegate_web.services import Services
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import queue_keys
from tidegate_web.store.queries.queue_keys import LOOKED_AT, KeyRow

SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class QueueKeys:
    """The keys with most runs; ``truncated`` where not all active runs were looked at."""

    rows: list[KeyRow]
    more: int
    truncated: bool

    @property
    def named(self) -> bool:
        """Whether any run has a key."""
        return any(row.key for row in self.rows)


def keys_of_queue(made: Services, project: str, queue: str) -> QueueKeys | None:
    """None while Postgres is away."""

    def stored() -> QueueKeys | None:
        with made.engine.connect() as connection:
            rows = queue_keys.of_queue(connection, project=project, queue=queue)
        return QueueKeys(
            rows=rows[:SHOWN],
            more=max(0, len(rows) - SHOWN),
            truncated=sum(row.running + row.waiting for row in rows) >= LOOKED_AT,
        )

    return with_fallback(stored, lambda: None)
