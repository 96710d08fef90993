"""What a request costs the servers behind the web app, by their own account."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import text

from support.web import Parts, Stack

_ASKED = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")


@dataclass(kw_only=True)
class Costs:
    """Of what was done meanwhile."""

    statements: list[str] = field(default_factory=list)
    """What Postgres was asked, each one round trip: BEGIN, COMMIT and looks whether it is there among them."""
    redis: int = 0
    """Round trips to Redis."""
    apiserver: list[str] = field(default_factory=list)
    """Requests of the web app's user: verb and resource."""


class CostMeter:
    """Has Postgres log all that is asked of a stack's database from now on, and counts."""

    def __init__(self, stack: Stack, parts: Parts, *, actor: str) -> None:
        self._stack, self._parts, self._actor = stack, parts, actor
        with parts.engine.begin() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'"))
        parts.engine.dispose()  # sessions that are open already wouldn't log

    @contextmanager
    def measured(self) -> Iterator[Costs]:
        """The costs are filled in at the end."""
        costs = Costs()
        log, reads, requests = self._logged(), self._redis_reads(), self._requests()
        yield costs
        costs.redis = self._redis_reads() - reads - 1  # this question itself
        costs.statements = [match[1] for match in _ASKED.finditer(self._logged()[len(log) :])]
        costs.apiserver = self._requests()[len(requests) :]

    def _logged(self) -> str:
        return self._stack.postgres.log.read_text(errors="replace")

    def _redis_reads(self) -> int:
        return int(self._parts.services.redis.info("stats")["total_reads_processed"])

    def _requests(self) -> list[str]:
        return [f"{entry.verb} {entry.resource}" for entry in self._stack.plane.requests(self._actor)]
