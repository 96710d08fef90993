"""Postgres behind a pooler that lends a server's connection for one transaction, as PgBouncer does with ``pool_mode=transaction``.

What a session keeps isn't there in the next transaction, or is another client's: parameters, prepared statements, advisory
locks. So parameters are set in each transaction, statements aren't prepared, and what holds a lock for long connects to
``TIDEGATE_DATABASE_DIRECT_URL``. Without that setting such a pooler is refused: it takes no ``options`` of a connection, or drops them.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, ExecStatus, PGconn
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url

MARK = "tidegate.session"
"""A parameter of our own, which arrives where all others do."""
URL, DIRECT_URL = "TIDEGATE_DATABASE_URL", "TIDEGATE_DATABASE_DIRECT_URL"
_REFUSED = "unsupported startup parameter"
_PER_TRANSACTION = "tidegate_per_transaction"


class PoolerError(psycopg.OperationalError):
    """The address leads to a pooler, and what is done there needs a session. The message names the setting."""

    def __init__(self, *, direct: bool) -> None:
        super().__init__(
            f"{DIRECT_URL} leads to a connection pooler, and not to Postgres itself"
            if direct
            else f"{URL} leads to a connection pooler: set {DIRECT_URL} to the address of Postgres itself, for locks and migrations"
        )


def session_options(parameters: Mapping[str, str]) -> str:
    """Parameters of a session, as libpq takes them when it connects."""
    return " ".join(f"-c {name}={value}" for name, value in {**parameters, MARK: "yes"}.items())


def is_refusal(error: BaseException) -> bool:
    """Whether a pooler takes no ``options``."""
    return _REFUSED in str(error)


def check(connection: psycopg.Connection[Any], *, direct: bool) -> None:
    """PoolerError when the session's parameters haven't arrived. The connection is closed then."""
    try:
        found = connection.execute("SELECT current_setting(%s, true)", (MARK,)).fetchone()
        connection.rollback()
        if found is None or found[0] != "yes":
            raise PoolerError(direct=direct)
    except psycopg.Error:
        connection.close()
        raise


def refuse(url: str, *, direct: bool, seconds: int) -> None:
    """PoolerError when a pooler is found there, at the start of a process. A Postgres that is away is waited for later.

    By libpq alone: the process may fork after this, and nothing of gevent may have begun then.
    """
    address = make_url(url)
    named: dict[str, Any] = address.translate_connect_args(username="user", database="dbname") | dict(address.query)
    told = {"connect_timeout": seconds, "application_name": "tidegate-start", "options": session_options({})}
    connection = PGconn.connect(make_conninfo(**(named | told)).encode())
    try:
        if connection.status != ConnStatus.OK:
            if _REFUSED.encode() in connection.error_message:
                raise PoolerError(direct=direct)
            return
        found = connection.exec_(f"SELECT current_setting('{MARK}', true)".encode())
        if found.status == ExecStatus.TUPLES_OK and found.get_value(0, 0) != b"yes":
            raise PoolerError(direct=direct)
    finally:
        connection.finish()


def set_per_transaction(engine: Engine, parameters: Mapping[str, str]) -> None:
    """Begin each transaction with these parameters, which end with it."""
    values = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in parameters.items())

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT {values}")

    engine.update_execution_options(**{_PER_TRANSACTION: True})
    event.listen(engine, "begin", begin)


def is_per_transaction(engine: Engine) -> bool:
    """Whether parameters hold in transactions alone."""
    return bool(engine.get_execution_options().get(_PER_TRANSACTION))
