"""The mirror's life: see to the schema, wait to lead, work until the lead is lost or a thread fails, and again, until it is stopped."""

import threading
import time

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.auth.admin import AdminSettingsError
from tidegate_web.health.probes import make_registry
from tidegate_web.install import bring_up_to_date
from tidegate_web.mirror.leader_lock import Leadership
from tidegate_web.mirror.metrics import MirrorMetrics
from tidegate_web.mirror.quarantine import RETRY_SECONDS, Quarantine
from tidegate_web.mirror.term import Term
from tidegate_web.services import Services
from tidegate_web.store import schema

log = structlog.stdlib.get_logger(__name__)

ALIVE_SECONDS = 120.0
"""The main thread gets somewhere within so long: each of its steps has a bound."""
GOOD_TERM_SECONDS = 60.0
MOST_PAUSE_SECONDS = 30.0
SCHEMA_SECONDS = 5.0
"""So often a leader looks whether the schema is there: an emptied Postgres doesn't end its connection."""


class Mirror:
    """The process."""

    def __init__(
        self,
        made: Services,
        *,
        registry: CollectorRegistry | None = None,
        patience_seconds: float = 30,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._made = made
        self._patience = patience_seconds
        self._stop = threading.Event()
        self._leadership = Leadership(made.direct)
        self._beaten: float | None = time.monotonic()
        """None while the schema is made, which may take long."""
        registry = registry if registry is not None else make_registry()
        self._metrics = MirrorMetrics(
            registry, bound=made.settings.archive_bound, by_namespace=made.settings.metrics_by_namespace
        )
        self._quarantine = Quarantine(gauge=self._metrics.set_aside, retry_seconds=retry_seconds)

    def stop(self) -> None:
        self._stop.set()

    def trouble(self) -> str | None:
        """Why the process isn't alive though it runs; for its liveness probe."""
        beaten = self._beaten
        if beaten is None or time.monotonic() - beaten < ALIVE_SECONDS:
            return None
        return f"no progress for {time.monotonic() - beaten:.0f} s"

    def run(self) -> bool:
        """Until stopped; False when a thread hangs, of which only the end of the process gets rid."""
        failures = 0
        while not self._stop.is_set():
            self._beaten = time.monotonic()
            if not self._schema_is_ready() or not self._leadership.acquire(self._stop):
                continue
            began = time.monotonic()
            trouble, ended = self._lead()
            if not ended and trouble:
                return False
            # A term that went on for long was not begun in vain.
            failures = failures + 1 if trouble and time.monotonic() - began < GOOD_TERM_SECONDS else 0
            self._stop.wait(min(2.0**failures, MOST_PAUSE_SECONDS) if failures > 1 else 0)
        log.info("stopped")
        return True

    def _lead(self) -> tuple[str | None, bool]:
        """One term: what it failed of, if it did, and whether all of its threads have ended."""
        log.info("leading")
        term = Term(
            self._made,
            patience_seconds=self._patience,
            quarantine=self._quarantine,
            metrics=self._metrics,
        )
        self._metrics.leads(term)
        trouble: str | None = None
        look_at_schema = time.monotonic() + SCHEMA_SECONDS
        try:
            term.begin()
            while not self._stop.wait(1):
                self._beaten = time.monotonic()
                if (trouble := term.trouble()) is not None:
                    log.error("the term is begun again", reason=trouble)
                    self._metrics.restarts.inc()
                    break
                if not self._leadership.held():
                    log.warning("the lead is lost")
                    break
                if time.monotonic() >= look_at_schema:
                    look_at_schema = time.monotonic() + SCHEMA_SECONDS
                    if schema.is_outdated(self._made.engine):
                        log.warning("the schema is gone")
                        break
        finally:
            ended = term.end(seconds=10)
            self._metrics.lost()
            self._leadership.release()
        return trouble, ended

    def _schema_is_ready(self) -> bool:
        """Whether Postgres has today's schema; it is made here when it is missing or behind."""
        if not schema.is_outdated(self._made.engine):
            return True
        self._beaten = None
        try:
            before, after = bring_up_to_date(self._made.direct, self._made.settings)
            log.info("schema", before=before, after=after)
        except (SQLAlchemyError, AdminSettingsError) as error:
            log.warning("the schema can't be made", reason=str(error).partition("\n")[0])
            self._stop.wait(2)
            return False
        finally:
            self._beaten = time.monotonic()
        return True
