"""Whether a pooled connection is still good, without a question each time it is taken.

A server that stops, is restarted or ends a session says so on the connection's socket: where nothing waits to be read,
the server hasn't hung up. That look is no round trip. A server that went away silently is found out by a question, which is asked of
connections that weren't used for a moment.
"""

import select
import time
from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

FRESH_SECONDS = 2.0
_USED = "tidegate.used"


def watch(engine: Engine, *, now: Callable[[], float] = time.monotonic) -> None:
    """Look at each connection that is taken from the engine's pool; a dead one is replaced before it is used."""

    def given_back(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        del connection
        entry.info[_USED] = now()

    def taken(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        del proxy
        used = entry.info.get(_USED)
        if used is None:  # opened for this
            return
        if now() - used < FRESH_SECONDS and not _has_word(connection):
            return
        if not _answers(engine, connection):
            raise InvalidatePoolError("Postgres has ended the connection")

    event.listen(engine, "checkin", given_back)
    event.listen(engine, "checkout", taken)


def _has_word(connection: DBAPIConnection) -> bool:
    """Whether something waits to be read, its end maybe."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _answers(engine: Engine, connection: DBAPIConnection) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        if not engine.dialect.is_disconnect(error, connection, None):
            raise
        return False
