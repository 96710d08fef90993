"""A transaction pooler before Postgres: everything works beside the address of Postgres itself, and nothing starts without it."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from support.environment import coverage_variables
from support.pgbouncer import ROLE, PgBouncer
from support.servers import Postgres, wait_until
from support.web import EMAIL, PASSWORD, Stack, finish, row, until
from tidegate_web.settings import WebSettings
from tidegate_web.store import schema
from tidegate_web.store.advisory_locks import LEADER_LOCK
from tidegate_web.store.engine import at_once, make_engine

CONNECTIONS = 3


@pytest.fixture(scope="module")
def bouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgres, connections=CONNECTIONS) as made:
        yield made


@pytest.fixture(scope="module")
def forgetful(postgres: Postgres) -> Iterator[PgBouncer]:
    """One that takes the parameters of a session and drops them."""
    with PgBouncer(postgres, ignores="options") as made:
        yield made


@pytest.fixture
def behind(stack: Stack, bouncer: PgBouncer) -> dict[str, str]:
    """Settings of a process whose Postgres is behind it."""
    stack.postgres.start()
    return {"database_url": bouncer.url(stack.database_url), "database_direct_url": stack.database_url}


def run(command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin"} | coverage_variables()
    environment |= {f"TIDEGATE_{name.upper()}": value for name, value in settings.items()}
    program = [sys.executable, "-m", "tidegate_web", command]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_runs_are_mirrored_shown_and_deleted_by_way_of_a_pooler(stack: Stack, behind: dict[str, str]) -> None:
    parts = stack.parts("web", **behind)
    me = parts.sign_in()
    stack.mirror(**behind)
    assert me.post("runs", {"name": "pooled", "taskRef": {"name": "t"}}).status_code == 201
    until(parts, "pooled", lambda found: found.phase == "Pending")
    finish(stack, "pooled")
    until(parts, "pooled", lambda found: found.phase == "Succeeded")
    clients = [parts.sign_in() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda client: [client.get("runs").status_code for _ in range(20)], clients))
    assert set(itertools.chain(*codes)) == {200}
    with psycopg.connect(stack.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s", (ROLE,)
        )
        assert found.fetchone() == (CONNECTIONS,)


def test_the_mirror_that_leads_holds_its_lock_past_the_pooler_and_another_takes_over(
    stack: Stack, behind: dict[str, str]
) -> None:
    parts = stack.parts("web", **behind)
    first, second = stack.mirror(**behind), stack.mirror(**behind)

    def leading() -> int:
        return sum(each.metric("tidegate_mirror_leader") == 1 for each in (first, second))

    wait_until(lambda: leading() == 1, what="a leader")
    (holder,) = parts.rows(
        "SELECT activity.usename FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)"
        " WHERE locktype = 'advisory' AND objid = :key AND activity.datname = current_database()",
        key=LEADER_LOCK & 0xFFFFFFFF,
    )
    assert holder.usename != ROLE
    leader, other = (first, second) if first.metric("tidegate_mirror_leader") == 1 else (second, first)
    leader.end()
    wait_until(lambda: other.metric("tidegate_mirror_leader") == 1, what="another leader")
    stack.runs.create("after")
    wait_until(lambda: row(parts, "after") is not None, what="a run of the second leader")


def test_a_transaction_has_its_parameters_and_leaves_none_behind(stack: Stack, behind: dict[str, str]) -> None:
    engine = make_engine(stack.settings("web", **behind), name="tests", for_requests=True)
    asked = text("SELECT current_setting('statement_timeout'), current_setting('timezone')")
    for opened in (engine.begin, lambda: at_once(engine)):
        with opened() as connection:
            assert tuple(connection.execute(asked).one()) == ("10s", "UTC")
    with engine.begin() as connection:
        for _ in range(20):  # psycopg would prepare it after five
            connection.execute(text("SELECT :n + 1"), {"n": 1})
    engine.dispose()
    plain = psycopg.connect(behind["database_url"], autocommit=True, prepare_threshold=None)
    with plain:
        for _ in range(10):
            kept = plain.execute(
                "SELECT current_setting('statement_timeout'), (SELECT count(*) FROM pg_prepared_statements)"
            ).fetchone()
            assert kept == ("0", 0)


def test_a_schema_is_made_past_the_pooler(postgres: Postgres, bouncer: PgBouncer) -> None:
    url = postgres.create_database("pooled_schema")
    done = run(
        "migrate",
        database_url=bouncer.url(url),
        database_direct_url=url,
        admin_email=EMAIL,
        admin_password=PASSWORD,
    )
    assert done.returncode == 0, done.stderr
    engine = create_engine(WebSettings(database_url=url).sqlalchemy_url)
    with engine.connect() as connection:
        assert schema.current(connection) == schema.head()
    engine.dispose()


@pytest.mark.parametrize("command", ["serve", "live", "mirror", "migrate"])
@pytest.mark.parametrize("kind", ["bouncer", "forgetful"])
def test_without_the_address_of_postgres_itself_nothing_starts(
    stack: Stack, request: pytest.FixtureRequest, kind: str, command: str
) -> None:
    pooler: PgBouncer = request.getfixturevalue(kind)
    environment = stack.environment("mirror", database_url=pooler.url(stack.database_url))
    settings = {
        name.removeprefix("TIDEGATE_").lower(): value for name, value in environment.items() if "TIDEGATE_" in name
    }
    done = run(command, **settings)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "TIDEGATE_DATABASE_URL leads to a connection pooler: set TIDEGATE_DATABASE_DIRECT_URL" in done.stderr


@pytest.mark.parametrize("kind", ["bouncer", "forgetful"])
def test_an_address_of_postgres_itself_that_leads_to_a_pooler_is_refused(
    stack: Stack, request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    pooler: PgBouncer = request.getfixturevalue(kind)
    url = pooler.url(stack.database_url)
    done = run("migrate", database_url=url, database_direct_url=url, admin_email=EMAIL, admin_password=PASSWORD)
    assert done.returncode == 1
    assert "TIDEGATE_DATABASE_DIRECT_URL leads to a connection pooler" in done.stderr
