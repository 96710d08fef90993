"""Sends what is due, in the process of the mirror that leads. An attempt that wasn't finished is made again: a receiver may
get a delivery twice, with one id, and never misses one while it can still be tried.
"""

import json
import random
import threading
import time
from collections import Counter as Counts
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client import Counter
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.shared.clock import Clock
from tidegate_web.shared.sealing import Sealer
from tidegate_web.shared.worker import Worker
from tidegate_web.store.models.work import DeliveryState
from tidegate_web.store.queries import webhooks
from tidegate_web.store.queries.webhooks import ClaimedDeliveryRow
from tidegate_web.store.records import clean
from tidegate_web.webhooks import sending, signing
from tidegate_web.webhooks.addresses import Network
from tidegate_web.webhooks.retries import next_attempt
from tidegate_web.webhooks.sending import Outcome
from tidegate_web.webhooks.shares import AT_ONCE, PER_WEBHOOK, Due, choose

log = structlog.stdlib.get_logger(__name__)

KEPT = timedelta(days=30)
SWEEP_SECONDS = 600.0


class Deliverer(Worker):
    """Looks every second, and at once when runs were written."""

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Clock,
        sealer: Sealer,
        allowed: Sequence[Network],
        stop: threading.Event,
        attempts: Counter,
        ca_file: Path | None = None,
        seconds: float = 1.0,
    ) -> None:
        super().__init__(name="webhooks", stop=stop)
        self._engine = engine
        self._clock = clock
        self._sealer = sealer
        self._allowed = allowed
        self._ca_file = ca_file
        self._attempts = attempts
        self._seconds = seconds
        self._wake = threading.Event()
        self._swept = 0.0
        self._flying: Counts[int] = Counts()
        self._projects: Counts[str] = Counts()
        self._lock = threading.Lock()

    def wake(self) -> None:
        self._wake.set()

    def work(self) -> None:
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="webhook") as pool:
            while not self.stop_event.is_set():
                self.beat()
                self._wake.wait(self._seconds)
                self._wake.clear()
                try:
                    while not self.stop_event.is_set() and self._round(pool):
                        self.beat()
                    self._forget()
                except SQLAlchemyError as error:
                    log.warning("waiting to send webhooks", reason=str(error).partition("\n")[0])
                    self.stop_event.wait(2)
                except Exception:
                    log.exception("webhooks")
                    self.stop_event.wait(5)

    def _round(self, pool: ThreadPoolExecutor) -> bool:
        """Begin to send some; True when there were any."""
        with self._lock:
            flying, projects = Counts(self._flying), Counts(self._projects)
        if flying.total() >= AT_ONCE:
            return False
        now = self._clock.now()
        busy = [webhook for webhook, number in flying.items() if number >= PER_WEBHOOK]
        with self._engine.begin() as connection:
            found = webhooks.due(connection, now=now, each=PER_WEBHOOK, but=busy)
            due = [Due(id=row.id, webhook_id=row.webhook_id, project=row.project) for row in found]
            chosen = choose(due, webhooks=flying, projects=projects)
            claimed = webhooks.claim(connection, ids=[each.id for each in chosen], now=now) if chosen else []
        for row in claimed:
            with self._lock:
                self._flying[row.webhook_id] += 1
                self._projects[row.project] += 1
            pool.submit(self._fly, row)
        return bool(claimed)

    def _fly(self, row: ClaimedDeliveryRow) -> None:
        try:
            self._deliver(row)
        except Exception:
            log.exception("a delivery", id=row.id)
        with self._lock:
            self._flying[row.webhook_id] -= 1
            self._projects[row.project] -= 1
            self._flying, self._projects = +self._flying, +self._projects
        self._wake.set()

    def _deliver(self, row: ClaimedDeliveryRow) -> None:
        try:
            outcome = self._send(row)
        except Exception as error:
            # An attempt like others: it has its turn again later, and ends after the last.
            log.exception("a delivery", id=row.id)
            outcome = Outcome(error=f"It could not be sent: {type(error).__name__}.")
        try:
            self._write(row, outcome)
        except SQLAlchemyError as error:
            # Sent again when its lease is over.
            log.warning("a delivery's outcome can't be written", id=row.id, reason=str(error).partition("\n")[0])

    def _send(self, row: ClaimedDeliveryRow) -> Outcome:
        secret = self._sealer.open(row.secret)
        if secret is None:
            return Outcome(error="The secret can't be read: the installation's key was changed. Rotate the secret.")
        body = json.dumps(row.payload, separators=(",", ":"), ensure_ascii=False).encode()
        now = int(self._clock.now().timestamp())
        headers = signing.headers(secret, message_id=f"msg_{row.id}", timestamp=now, body=body)
        return sending.post(row.url, body=body, headers=headers, allowed=self._allowed, ca_file=self._ca_file)

    def _write(self, row: ClaimedDeliveryRow, outcome: Outcome) -> None:
        now, attempts = self._clock.now(), row.attempts + 1
        again = None
        if not outcome.taken and not outcome.gone:
            again = next_attempt(attempts=attempts, now=now, jitter=random.random())  # noqa: S311 - no secret
        state: DeliveryState = "delivered" if outcome.taken else "pending" if again is not None else "failed"
        self._attempts.labels(state).inc()
        with self._engine.begin() as connection:
            webhooks.attempted(
                connection,
                delivery_id=row.id,
                state=state,
                at=now,
                next_at=again,
                status=outcome.status,
                error=clean(outcome.error),
            )
            if outcome.gone:
                webhooks.disable(
                    connection, webhook_id=row.webhook_id, now=now, reason="The receiver wants no more (410)."
                )

    def _forget(self) -> None:
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        with self._engine.begin() as connection:
            webhooks.forget_old(connection, before=self._clock.now() - KEPT)
