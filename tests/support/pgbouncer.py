"""A real PgBouncer (Debian's) that lends connections to a Postgres for a transaction each."""

import os
import pwd
import shutil
from pathlib import Path

import psycopg
from psycopg import sql

from support.servers import UNPRIVILEGED, Postgres, Server, ServerError, answers, ensure_programs

ROLE = "pooler"
"""Whom it signs in as, by which its sessions are known."""


def _program() -> Path | None:
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    return Path(found) if found else None


class PgBouncer(Server):
    """In front of a Postgres, with as many connections to it for each database as ``connections``."""

    name = "pgbouncer"

    def __init__(self, postgres: Postgres, *, connections: int = 4, ignores: str = "") -> None:
        super().__init__()
        self._postgres = postgres
        self._connections = connections
        self._ignores = ignores
        """Parameters of a connection that it takes and drops."""

    def user(self) -> str:
        return UNPRIVILEGED  # it refuses to run as root

    def prepare(self) -> None:
        ensure_programs({"pgbouncer": _program})
        with psycopg.connect(self._postgres.url(), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(ROLE)))
        lines = [
            "[databases]",
            f"* = host=127.0.0.1 port={self._postgres.port} user={ROLE}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {self._connections}",
            "max_client_conn = 500",
            f"ignore_startup_parameters = {self._ignores}",
        ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        if (run_as := self.run_as()) is not None:
            os.chown(self.folder, pwd.getpwnam(run_as).pw_uid, -1)

    def command(self) -> list[str]:
        program = _program()
        if program is None:
            raise ServerError("PgBouncer isn't installed: apt-get install pgbouncer")
        return [str(program), str(self.folder / "pgbouncer.ini")]

    def ready(self) -> bool:
        return answers(self.port)

    def url(self, of: str) -> str:
        """The address by way of this of a database, which Postgres has at another one."""
        return of.replace(f":{self._postgres.port}/", f":{self.port}/")
