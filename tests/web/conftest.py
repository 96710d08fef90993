"""Real Postgres, Redis and apiserver for all tests of this stage; each test has a database and a project of its own."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.operator import install_crds
from support.servers import Postgres, Redis, ensure_servers
from support.web import EMAIL, PASSWORD, RIGHTS, MirrorThread, Parts, Stack, grant
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.auth.admin import create_admin
from tidegate_web.settings import WebSettings
from tidegate_web.store import schema
from tidegate_web.store.engine import make_engine


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    ensure_servers()
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    ensure_servers()
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """A real apiserver with our CRDs, where each process has the rights that the chart gives it and no others."""
    with ControlPlane(actors={name: [] for name in RIGHTS}) as made:
        install_crds(made)
        for actor in RIGHTS:
            grant(made, actor)
        yield made


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database with today's schema and an admin, that tests get copies of."""
    settings = WebSettings(
        database_url=postgres.create_database("template_tests"), admin_email=EMAIL, admin_password=PASSWORD
    )
    engine = make_engine(settings, name="tests")
    schema.upgrade(engine)
    create_admin(engine, settings)
    engine.dispose()
    return "template_tests"


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def stack(
    postgres: Postgres, redis_server: Redis, plane: ControlPlane, template: str, numbers: Iterator[int]
) -> Iterator[Stack]:
    """Everything a test needs, made ready for it."""
    number = next(numbers)
    redis_server.start()
    postgres.start()
    project = f"project-{number}"
    with ExitStack() as cleanup:
        yield Stack(
            postgres=postgres,
            redis=redis_server,
            plane=plane,
            project=project,
            database_url=postgres.create_database(f"test_{number}", template=template),
            redis_url=redis_server.url(number % 15),
            cleanup=cleanup,
        )


@pytest.fixture
def parts(stack: Stack) -> Parts:
    """The web app as ``tidegate-web all`` makes it, without its server."""
    return stack.parts("web")


@pytest.fixture
def mirror(stack: Stack) -> MirrorThread:
    """A mirror at work in this process."""
    return stack.mirror()
