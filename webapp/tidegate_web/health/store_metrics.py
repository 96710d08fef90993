"""How a process and its stores get on, as metrics: the pool of connections, how long Postgres takes, whether Postgres and Redis answer.

Whether they answer is found out beside the scrape: a scrape that waits for a store that is away would be cut off, and all other
metrics with it.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, ExceptionContext, QueuePool, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tidegate_web.health.redis_rights import missing_rights

log = structlog.stdlib.get_logger(__name__)

PING_SECONDS: Final = 5.0
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BEGAN: Final = "tidegate.began"


class StoreMetrics:
    """The series of one process, and the thread that asks its stores."""

    def __init__(self, *, registry: CollectorRegistry, engine: Engine, redis: Redis) -> None:
        self._engine, self._redis = engine, redis
        self._seconds = Histogram(
            "tidegate_db_query_seconds", "Time that Postgres takes for a statement.", buckets=BUCKETS, registry=registry
        )
        self._errors = Counter(
            "tidegate_db_query_errors_total", "Statements and connections that failed.", registry=registry
        )
        self._postgres = Gauge("tidegate_postgres_up", "1 while Postgres answers.", registry=registry)
        self._redis_up = Gauge("tidegate_redis_up", "1 while Redis answers.", registry=registry)
        registry.register(_PoolCollector(engine))
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        event.listen(engine, "handle_error", self._fail)
        self._rights_known = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="store metrics", daemon=True)

    def start(self) -> None:
        """Ask both from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=PING_SECONDS)

    def _begin(self, connection: Connection, *_: object) -> None:
        connection.info[_BEGAN] = time.perf_counter()

    def _end(self, connection: Connection, *_: object) -> None:
        self._seconds.observe(time.perf_counter() - connection.info[_BEGAN])

    def _fail(self, _: ExceptionContext) -> None:
        self._errors.inc()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._ask_postgres()
            self._ask_redis()
            self._stop.wait(PING_SECONDS)

    def _ask_postgres(self) -> None:
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except PoolTimeoutError:
            return  # all connections are in use, which says nothing of Postgres
        except SQLAlchemyError:
            self._postgres.set(0)
        else:
            self._postgres.set(1)

    def _ask_redis(self) -> None:
        try:
            self._redis.ping()
        except (RedisError, OSError):
            self._redis_up.set(0)
            self._rights_known = False
            return
        self._redis_up.set(1)
        if not self._rights_known:
            self._look_at_rights()

    def _look_at_rights(self) -> None:
        """Once for each time that Redis comes up: what it refuses is else noticed as live updates that never come."""
        with suppress(RedisError, OSError):
            if missing := missing_rights(self._redis):
                log.warning("Redis refuses its user (ACL) what live updates need", missing=", ".join(missing))
            self._rights_known = True


class _PoolCollector(Collector):
    """The pool as it is when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return _families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        pool = cast("QueuePool", self._engine.pool)
        connections, size = _families()
        connections.add_metric(["in_use"], pool.checkedout())
        connections.add_metric(["idle"], pool.checkedin())
        size.add_metric([], pool.size())
        return connections, size


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("tidegate_db_pool_connections", "Connections to Postgres, by state.", labels=["state"]),
        GaugeMetricFamily("tidegate_db_pool_size", "Connections to Postgres that the process may have at once."),
    )
