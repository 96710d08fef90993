"""The schema: made once, whichever process comes first, and looked at before a process says that it is ready."""

import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, text
from support.servers import Postgres, free_port, wait_until
from support.web import Stack
from tidegate_web.commands import main
from tidegate_web.health.probes import ProbeServer, SchemaCheck
from tidegate_web.settings import WebSettings
from tidegate_web.store import indexes_ahead, partitions, schema
from tidegate_web.store.engine import make_engine
from tidegate_web.store.models import Base
from tidegate_web.store.partitions import is_partition

A_RUN_OF_A_LONG_REQUESTER = """
INSERT INTO runs (uid, project, name, created, resource_version, phase, tags, attempt, labels, spec, status, requested_by)
SELECT md5('run')::uuid, 'team', 'run', '2026-02-03T04:05:06Z', 1, 'Pending', '{}', 1, '{}', '{}', '{}', string_agg(md5(i::text), '')
FROM generate_series(1, 1000) AS i
"""
"""Longer than an index takes."""


def no_partition(name: str | None, kind: str, parents: object) -> bool:
    """Months come and go without a migration."""
    del parents
    return kind != "table" or not is_partition(name or "")


def test_migrations_make_exactly_the_tables_of_the_models(stack: Stack) -> None:
    made = stack.services("web")
    with made.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": no_partition})
        assert compare_metadata(context, Base.metadata) == []


def test_the_files_of_the_migrations_are_named_after_their_versions(stack: Stack) -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert schema.known_versions() == {script.revision for script in scripts.walk_revisions()}
    assert schema.head() == scripts.get_current_head()
    with stack.services("web").engine.connect() as connection:
        assert schema.current(connection) == MigrationContext.configure(connection).get_current_revision()


def test_a_process_that_serves_does_not_load_alembic() -> None:
    loaded = "import sys, tidegate_web.commands, tidegate_web.server; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_two_migrations_at_once_make_one_schema(postgres: Postgres) -> None:
    settings = WebSettings(database_url=postgres.create_database("migrated_twice"))
    results = []
    engines = [make_engine(settings, name=f"migrate-{number}") for number in range(3)]
    threads = [threading.Thread(target=lambda e=engine: results.append(schema.upgrade(e))) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(before or "" for before, _ in results) == ["", schema.head(), schema.head()]
    for engine in engines:
        engine.dispose()


def test_a_change_that_waits_for_a_table_holds_up_no_reader_of_it(postgres: Postgres) -> None:
    engine = make_engine(WebSettings(database_url=postgres.create_database("migrated_in_use")), name="migrate")
    schema.upgrade(engine, to="0007")
    done: list[tuple[str | None, str]] = []
    wanted = text("SELECT count(*) FROM pg_locks WHERE relation = 'log_chunks'::regclass AND NOT granted")

    def waits() -> bool:
        # In a transaction of its own: for one with a statement under way the build of an index waits until it ends.
        with engine.connect() as connection:
            return bool(connection.execute(wanted).scalar_one())

    with engine.connect() as report, engine.connect() as reader:
        report.execute(text("SET idle_in_transaction_session_timeout = 0"))
        report.execute(text("SELECT count(*) FROM log_chunks"))  # a long report of another holds the table
        migration = threading.Thread(target=lambda: done.append(schema.upgrade(engine)))
        migration.start()
        wait_until(waits, what="the migration to wait for the table")
        reader.execute(
            text("SET statement_timeout = '20s'")
        )  # without an end it would wait for as long as the report takes
        reader.execute(text("SELECT count(*) FROM log_chunks"))
        reader.rollback()
        assert done == []
        report.rollback()
    migration.join()
    assert done == [("0007", schema.head())]
    engine.dispose()


def test_an_index_of_runs_is_built_month_by_month_while_others_write(postgres: Postgres) -> None:
    engine = make_engine(WebSettings(database_url=postgres.create_database("migrated_large")), name="migrate")
    schema.upgrade(engine, to="0014")
    months = [datetime(2026, number, 1, tzinfo=UTC) for number in (1, 2, 3)]
    half_built = "runs_2026_02_reason_ahead"
    with engine.begin() as connection:
        partitions.ensure(connection, months)
        connection.execute(text(f"CREATE INDEX {half_built} ON runs_2026_02 {indexes_ahead.REASON.definition}"))
        connection.execute(text(A_RUN_OF_A_LONG_REQUESTER))
        # As a build leaves it that ended in the middle.
        broken = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST(:name AS regclass)")
        connection.execute(broken, {"name": half_built})
    write = text("LOCK TABLE runs IN ROW EXCLUSIVE MODE")
    building = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
    )

    def waits() -> bool:
        with engine.connect() as connection:  # a transaction sees what others do as it was at its first look
            return bool(connection.execute(building).scalar_one())

    with engine.connect() as writer, engine.connect() as other:
        writer.execute(text("SET idle_in_transaction_session_timeout = 0"))
        writer.execute(write)  # the mirror is in the middle of a transaction
        migration = threading.Thread(target=lambda: schema.upgrade(engine))
        migration.start()
        wait_until(waits, what="the build to wait for the mirror")
        other.execute(text("SET LOCAL lock_timeout = '20s'"))
        other.execute(write)  # others write meanwhile
        other.rollback()
        writer.rollback()
    migration.join()
    attached = text(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid"
        " WHERE inhparent = CAST(:parent AS regclass) ORDER BY 1"
    )
    with engine.connect() as connection:
        assert schema.current(connection) == schema.head()
        made = partitions.present(connection)
        assert {month.begin for month in made} > set(months)
        for index in indexes_ahead.INDEXES:
            found = connection.execute(attached, {"parent": index.parent})
            expected = [(f"{month.partition_of('runs')}_{index.name}_ahead", True) for month in made]
            assert [tuple(row) for row in found] == expected
    engine.dispose()


def test_a_newer_schema_is_left_alone(stack: Stack) -> None:
    made = stack.services("web")
    with made.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema.upgrade(made.engine) == ("9999", "9999")
    assert not schema.is_outdated(made.engine)


def probe(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_not_ready_while_postgres_answers_with_an_older_schema(stack: Stack) -> None:
    made = stack.services("web")
    server = ProbeServer(
        host="127.0.0.1", port=0, registry=CollectorRegistry(), ready=SchemaCheck(made.engine, seconds=0)
    )
    server.start()
    try:
        assert probe(server.port, "/readyz")[0] == 200
        with made.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = ''"))
            connection.execute(text("DELETE FROM alembic_version"))
        status, body = probe(server.port, "/readyz")
        assert status == 503
        assert b"migrate" in body
        assert probe(server.port, "/healthz")[0] == 200
        stack.postgres.stop()
        assert probe(server.port, "/readyz")[0] == 200  # it can answer; its neighbour can't
        stack.postgres.start()
        assert probe(server.port, "/readyz")[0] == 503
    finally:
        server.stop()


def test_migrate_says_in_one_line_that_postgres_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", f"postgresql://tidegate@127.0.0.1:{free_port()}/none")
    monkeypatch.setenv("TIDEGATE_MIGRATE_WAIT_SECONDS", "0.2")
    assert main(["migrate"]) == 1
    assert "Postgres didn't answer" in capsys.readouterr().err


def test_migrate_makes_the_admin_once_and_never_changes_a_password(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = postgres.create_database("with_admin")
    password = tmp_path / "password"
    password.write_text("first password\n")
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", url)
    monkeypatch.setenv("TIDEGATE_ADMIN_EMAIL", "Root@Example.com")
    monkeypatch.setenv("TIDEGATE_ADMIN_PASSWORD_FILE", str(password))
    assert main(["migrate"]) == 0
    engine = make_engine(WebSettings(database_url=url), name="tests")
    with engine.connect() as connection:
        first = connection.execute(text("SELECT email, password_hash, instance_admin FROM users")).one()
    assert first.email == "root@example.com"
    assert first.instance_admin
    assert first.password_hash.startswith("$argon2id$")
    password.write_text("another")
    assert main(["migrate"]) == 0
    assert main(["create-admin"]) == 0
    with engine.connect() as connection:
        assert connection.execute(text("SELECT password_hash FROM users")).one()[0] == first.password_hash
    engine.dispose()


def test_who_waits_for_the_schema_finds_the_admin(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.create_database("awaited")
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", url)
    monkeypatch.setenv("TIDEGATE_ADMIN_EMAIL", "root@example.com")
    monkeypatch.setenv("TIDEGATE_ADMIN_PASSWORD", "first password")
    engine = make_engine(WebSettings(database_url=url), name="tests")
    migration = threading.Thread(target=main, args=(["migrate"],))
    migration.start()
    wait_until(lambda: not schema.is_outdated(engine), what="the schema")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
    migration.join()
    engine.dispose()


def test_what_is_made_with_the_schema_is_there_with_it_or_not_at_all(postgres: Postgres) -> None:
    engine = make_engine(WebSettings(database_url=postgres.create_database("together")), name="tests")

    def fail(connection: Connection) -> None:
        assert schema.current(connection) == schema.head()
        raise RuntimeError("too bad")

    with pytest.raises(RuntimeError):
        schema.upgrade(engine, also=fail)
    assert schema.is_outdated(engine)
    engine.dispose()
