"""The schema's version: made newer by ``migrate``, looked at by processes that must not serve on an older one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tidegate_web.store import indexes_ahead
from tidegate_web.store.pooler import PoolerError

_MIGRATION_LOCK = 7_140_881_001
"""Advisory lock for changing the schema."""

_LOCK_SECONDS = 2
"""A change of a table waits so long for its lock, and everyone else who asks for the table waits behind it."""
_LOCK_PAUSE_SECONDS = 2.0
"""Then the others get their turn."""
_PATIENCE_SECONDS = 600.0
"""So long it is tried."""

MIGRATIONS = Path(__file__).parent / "migrations"

log = structlog.stdlib.get_logger(__name__)


class PostgresUnavailableError(RuntimeError):
    """Postgres didn't come up in the time given."""


def head() -> str:
    """The version that this program was written for."""
    return max(known_versions())


@cache
def known_versions() -> frozenset[str]:
    """All versions up to ours: a migration's file is named after the version that it makes."""
    return frozenset(path.stem[1:5] for path in (MIGRATIONS / "versions").glob("v[0-9]*.py"))


def current(connection: Connection) -> str | None:
    """The version that Postgres has, None for an empty database."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def wait_for_postgres(engine: Engine, *, seconds: float) -> None:
    """Return once Postgres answers; a bundled one is often started together with us."""
    deadline = time.monotonic() + seconds
    delay = 0.2
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                return
        except OperationalError as error:
            if isinstance(error.orig, PoolerError):
                raise
            reason = str(error.orig).strip().splitlines()[0]
            if time.monotonic() >= deadline:
                raise PostgresUnavailableError(f"Postgres didn't answer within {seconds:.0f} s: {reason}") from error
            log.info("waiting for Postgres", reason=reason)
            time.sleep(delay)
            delay = min(delay * 1.5, 2)


@contextmanager
def migration_lock(engine: Engine) -> Iterator[Connection]:
    """Hold the lock that lets one process at a time change the schema."""
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
            connection.execute(text("RESET statement_timeout"))
            connection.commit()


def upgrade(
    engine: Engine, *, to: str = "head", also: Callable[[Connection], None] | None = None
) -> tuple[str | None, str]:
    """Bring the schema to ``head``, or only so far; returns the version before and after. Doing it twice, or twice at once, is fine.

    ``also`` is done in the same transaction: who waits for the schema finds that, too. Not with a schema newer than ours.
    """
    with migration_lock(engine) as connection:
        before = current(connection)
        connection.rollback()
        if before is not None and before not in known_versions():
            log.warning("Postgres has a newer schema than this version knows; left as it is", version=before)
            return before, before
        if to == "head":
            indexes_ahead.build(engine, before=before)
        _in_turn(connection, lambda: _change(connection, to, also))
        return before, head() if to == "head" else to


def _change(connection: Connection, to: str, also: Callable[[Connection], None] | None) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
    _migrate(connection, to)
    if also is not None:
        also(connection)


def _in_turn(connection: Connection, change: Callable[[], None]) -> None:
    """Make a change in a transaction, again and again while a long transaction of another holds a table that it needs."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with connection.begin():
                change()
            return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable) or time.monotonic() >= deadline:
                raise
            log.warning("another transaction holds a table that has to be changed", pause=_LOCK_PAUSE_SECONDS)
            time.sleep(_LOCK_PAUSE_SECONDS)


def _migrate(connection: Connection, to: str) -> None:
    # Here: few processes ever migrate, and Alembic is a fifth of what they would import.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def is_outdated(engine: Engine) -> bool:
    """Whether Postgres answers, with an older schema than ours. False when it doesn't answer."""
    try:
        with engine.connect() as connection:
            version = current(connection)
    except SQLAlchemyError:
        return False
    return version is None or (version != head() and version in known_versions())
