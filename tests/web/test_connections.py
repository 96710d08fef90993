"""Connections to Postgres that wait for their next use: a dead one fails no request, a good one isn't asked each time."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, create_engine, text
from support.web import Parts, Stack
from tidegate_web.store import liveness
from tidegate_web.store.engine import at_once


@dataclass
class HandTime:
    """The time is what the test says."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> HandTime:
    return HandTime()


@pytest.fixture
def engine(stack: Stack, time: HandTime) -> Iterator[Engine]:
    made = create_engine(stack.database_url.replace("postgresql:", "postgresql+psycopg:"), pool_size=3)
    liveness.watch(made, now=time)
    yield made
    made.dispose()


def backend(engine: Engine) -> int:
    """Which server process answers."""
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def asked_last(engine: Engine, pid: int) -> str:
    """The last that a waiting session was asked."""
    other = create_engine(engine.url)
    with other.connect() as connection:
        found = connection.execute(text("SELECT query FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})
        last = str(found.scalar_one())
    other.dispose()
    return last


def end(engine: Engine, pid: int) -> None:
    """End a session from outside, and wait until it is gone."""
    other = create_engine(engine.url)
    with other.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()


def test_a_connection_that_was_used_a_moment_ago_is_taken_as_it_is(engine: Engine) -> None:
    pid = backend(engine)
    with engine.connect():
        assert asked_last(engine, pid) == "ROLLBACK"  # of its last use
    assert backend(engine) == pid


def test_one_that_was_not_used_for_a_while_is_asked(engine: Engine, time: HandTime) -> None:
    pid = backend(engine)
    time.now += liveness.FRESH_SECONDS
    with engine.connect():
        assert asked_last(engine, pid) == ";"
    assert backend(engine) == pid


def test_one_that_was_ended_a_moment_ago_is_replaced_before_anybody_has_it(engine: Engine) -> None:
    pid = backend(engine)
    end(engine, pid)
    assert backend(engine) != pid


def test_after_a_restart_all_are_new(stack: Stack, parts: Parts) -> None:
    me = parts.sign_in()
    assert me.get("runs").status_code == 200
    stack.postgres.stop()
    stack.postgres.start()
    for _ in range(3):
        answer = me.get("runs")
        assert answer.status_code == 200
        assert "source" not in (answer.json or {}), "it is told by the cluster"
    assert me.post("runs", {"taskRef": {"name": "t"}, "name": "after"}).status_code == 201
    assert parts.rows("SELECT submitted_by FROM runs WHERE name = 'after'")


def test_a_statement_at_once_is_kept_without_a_commit(engine: Engine) -> None:
    with at_once(engine) as connection:
        connection.execute(text("CREATE TABLE kept (n int)"))
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    with engine.connect() as connection:  # no transaction has it afterwards
        connection.execute(text("INSERT INTO kept VALUES (2)"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM kept")).scalars().all() == [1]
