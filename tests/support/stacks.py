"""Stacks of a test stage: a database template made once, and a project and a database of its own for each test."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import text
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.auth.admin import create_admin
from tidegate_web.settings import WebSettings
from tidegate_web.store import schema
from tidegate_web.store.engine import make_engine

from support.servers import Postgres, Redis
from support.web import EMAIL, PASSWORD, Stack, cheap_hash


def make_template(postgres: Postgres) -> str:
    """A database with today's schema and an admin, that tests get copies of; its name."""
    settings = WebSettings(
        database_url=postgres.create_database("template_tests"), admin_email=EMAIL, admin_password=PASSWORD
    )
    engine = make_engine(settings, name="tests")
    schema.upgrade(engine)
    with engine.begin() as connection:
        create_admin(connection, settings)
        connection.execute(text("UPDATE users SET password_hash = :cheap"), {"cheap": cheap_hash()})
    engine.dispose()
    return "template_tests"


@contextmanager
def made_stack(postgres: Postgres, redis: Redis, plane: ControlPlane, template: str, number: int) -> Iterator[Stack]:
    """A project and a database of its own."""
    redis.start()
    postgres.start()
    database_url = postgres.create_database(f"test_{number}", template=template)
    with ExitStack() as cleanup:
        yield Stack(
            postgres=postgres,
            redis=redis,
            plane=plane,
            project=f"project-{number}",
            database_url=database_url,
            redis_url=redis.url(number),
            cleanup=cleanup,
        )
    postgres.drop_database(f"test_{number}")


@contextmanager
def pages_of(stack: Stack, logs: Path) -> Iterator[str]:
    """The address of the web app, with pages and streams in one process and no mirror. `logs`: where it writes."""
    with stack.process("all", actor="web", log=logs / "web", namespaces=[stack.project]) as web:
        yield f"http://127.0.0.1:{web.port}"


@contextmanager
def site_of(stack: Stack, logs: Path) -> Iterator[str]:
    """The same with a mirror beside it."""
    with (
        pages_of(stack, logs) as site,
        stack.process("mirror", actor="mirror", log=logs / "mirror", namespaces=[stack.project]),
    ):
        yield site
