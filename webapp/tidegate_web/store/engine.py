"""How a process talks to Postgres: one pool, short statement timeouts, and one name for "Postgres is away"."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tidegate_web.settings import WebSettings
from tidegate_web.store import liveness, pooler

PARAMETERS = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60000",
    # A list's best plan depends on what is asked for: a text that is rare, or a phase that most runs are in.
    "plan_cache_mode": "force_custom_plan",
    # Compiling a plan over many months takes longer than any of ours.
    "jit": "off",
}
DIRECT_CONNECTIONS = 2
"""Beside a pooler: one that holds a lock, and one that changes the schema."""
CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30
"""Postgres ends a statement after so long."""
REQUEST_STATEMENT_SECONDS = 10
"""The same where people wait for it."""
GRACE_SECONDS = 3
"""So much later the connection of a request is given up: a Postgres that stands still ends no statement."""
PAUSE_SECONDS = 5.0
UNAVAILABLE = (OperationalError, PoolTimeoutError)
"""What is raised while Postgres can't be asked."""
NOT_MIGRATED = ("42P01", "42703")
"""SQLSTATE of a table or column that isn't there: Postgres answers, and ``migrate`` hasn't done its work yet."""


T = TypeVar("T")


class RequestConnection(psycopg.Connection[Any]):
    """A connection on which no wait for Postgres is without a bound."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        bound = REQUEST_STATEMENT_SECONDS + GRACE_SECONDS
        try:
            return super().wait(gen, interval, bound if timeout is None else timeout)
        except psycopg.OperationalError:
            if timeout is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # the statement may go on: nothing else can be asked here
            raise


class Connecting:
    """Opens connections. Where Postgres neither takes nor refuses one, the next are refused here for a moment: else each
    question of each request waits for nothing. Where a session is needed and a pooler found, that is said."""

    def __init__(self, *, bounded: bool, pooled: bool, direct: bool) -> None:
        self._bounded = bounded
        self._direct = direct
        self._checked = pooled
        self._refuse_until = 0.0

    def __call__(
        self, dialect: Dialect, record: object, arguments: Sequence[Any], named: dict[str, Any]
    ) -> DBAPIConnection:
        failed: type[Exception] = dialect.loaded_dbapi.OperationalError
        began = time.monotonic()
        if began < self._refuse_until:
            raise failed("Postgres didn't answer a moment ago")
        try:
            kind: type[psycopg.Connection[Any]] = RequestConnection if self._bounded else psycopg.Connection
            made = kind.connect(*arguments, **named)
            if not self._checked:
                pooler.check(made, direct=self._direct)
                self._checked = True
            return cast("DBAPIConnection", made)
        except failed as error:
            if pooler.is_refusal(error):
                raise pooler.PoolerError(direct=self._direct) from error
            if time.monotonic() - began >= CONNECT_SECONDS / 2:
                self._refuse_until = time.monotonic() + PAUSE_SECONDS
            raise


def make_engine(settings: WebSettings, *, name: str, for_requests: bool = False, direct: bool = False) -> Engine:
    """A pool of connections that finds out by itself when Postgres was restarted. ``for_requests``: no statement takes longer than
    a person waits, also of a Postgres that stands still. ``direct``: to Postgres itself, where a pooler stands before it."""
    seconds = REQUEST_STATEMENT_SECONDS if for_requests else STATEMENT_SECONDS
    beside = direct and bool(settings.database_direct_url)
    pooled = bool(settings.database_direct_url) and not direct
    parameters = PARAMETERS | {"statement_timeout": str(seconds * 1000)}
    engine = create_engine(
        settings.direct_sqlalchemy_url if beside else settings.sqlalchemy_url,
        # What a burst has opened stays for the next: opening one costs more than a request.
        pool_size=DIRECT_CONNECTIONS if beside else settings.database_pool_size,
        max_overflow=0,
        # Those in use stay in use: one that wasn't for a moment has to be asked first.
        pool_use_lifo=True,
        pool_timeout=5,
        pool_recycle=1800,
        skip_autocommit_rollback=True,
        connect_args={
            "application_name": f"tidegate-{name}",
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # A server that went without a word is found out by the first question that isn't acknowledged.
            "tcp_user_timeout": 5000,
            **({"prepare_threshold": None} if pooled else {"options": pooler.session_options(parameters)}),
        },
    )
    if pooled:
        pooler.set_per_transaction(engine, parameters)
    event.listen(engine, "do_connect", Connecting(bounded=for_requests, pooled=pooled, direct=beside))
    liveness.watch(engine)
    return engine


@contextmanager
def at_once(engine: Engine) -> Iterator[Connection]:
    """A connection on which each statement is a transaction of its own: one round trip, where BEGIN and COMMIT make three. Behind a
    pooler all are in one, for it has the parameters."""
    if pooler.is_per_transaction(engine):
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def with_fallback(ask: Callable[[], T], instead: Callable[[], T]) -> T:
    """What Postgres says, or something else while it can't be asked."""
    try:
        return ask()
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
    return instead()


_OF_THE_DATA = ("21", "22", "23", "54")
"""Classes of SQLSTATE that say what is wrong with the values of a statement: 54 is a limit, as of an index or of nesting."""


def is_of_the_data(error: BaseException) -> bool:
    """Whether what was to be written is at fault, and not Postgres or its state: the same again fails again.

    So is everything that isn't an error of SQLAlchemy: it was raised on the way there.
    """
    if not isinstance(error, SQLAlchemyError):
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state is not None:
        return str(state)[:2] in _OF_THE_DATA
    # No answer of Postgres: a parameter that can't be written out, unless there was no way to ask.
    return isinstance(error, StatementError) and not isinstance(error, UNAVAILABLE) and not _is_cut_off(error)


def _is_cut_off(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_unavailable(error: BaseException) -> bool:
    """Whether this is Postgres being away, starting, stopping or not ours yet; anything else is a mistake of ours."""
    if isinstance(error, OperationalError) and is_of_the_data(error):
        return False
    if isinstance(error, ProgrammingError):
        return getattr(error.orig, "sqlstate", None) in NOT_MIGRATED
    return isinstance(error, UNAVAILABLE) or _is_cut_off(error)
