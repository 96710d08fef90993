"""A Postgres that comes back empty, as one without a volume does: everything is ready again, and the archive has what the cluster has."""

import contextlib
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from support.servers import Postgres, wait_until
from support.web import Parts, Stack, finish, until

SECONDS = 120


def recreate(postgres: Postgres, url: str) -> None:
    """As after a restart of its pod: no connection is left, and no table."""
    name = sql.Identifier(url.rpartition("/")[2])
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


def empty(postgres: Postgres, url: str) -> None:
    """Its tables go under connections that stay, and so does the leader's lock."""
    del postgres
    with psycopg.connect(url, autocommit=True) as connection:
        dropped = False
        while not dropped:
            with contextlib.suppress(
                psycopg.errors.DeadlockDetected
            ):  # with a transaction of the mirror, which goes on
                connection.execute("DROP SCHEMA public CASCADE")
                dropped = True
        connection.execute("CREATE SCHEMA public")


@pytest.mark.parametrize("wipe", [recreate, empty])
def test_all_are_ready_again(stack: Stack, parts: Parts, tmp_path: Path, wipe: Any) -> None:
    with (
        stack.process("serve", actor="web", log=tmp_path / "web") as web,
        stack.process("live", actor="web", log=tmp_path / "live") as live,
        stack.process("mirror", actor="mirror", log=tmp_path / "mirror", namespaces=[stack.project]) as mirror,
    ):
        stack.runs.create("before")
        finish(stack, "before")
        until(parts, "before", lambda row: row.phase == "Succeeded")
        wipe(stack.postgres, stack.database_url)
        stack.runs.create("after")

        def ready() -> bool:
            return all(process.probe("/readyz")[0] == 200 for process in (web, live, mirror))

        def made() -> bool:
            try:
                return bool(parts.rows("SELECT 1 FROM users"))
            except Exception:
                return False

        wait_until(made, seconds=SECONDS, what="the schema and its admin")
        wait_until(ready, seconds=SECONDS, what="all to be ready")
        for name in ("before", "after"):
            until(parts, name, lambda row: True)
        me = parts.sign_in()
        assert me.get("runs/before").status_code == 200
        assert [process.process.poll() for process in (web, live, mirror)] == [None, None, None]
