"""Real Postgres, Redis and apiserver for all tests of this stage; each test has a database and a project of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.browser import chromium, signed_in
from support.callers import SignedIn
from support.proxy import FaultyProxy
from support.rights import granted_plane
from support.servers import Postgres, Redis, ensure_servers
from support.spread import Spread, order
from support.stacks import made_stack, make_template, pages_of
from support.web import EMAIL, PASSWORD, MirrorThread, Parts, Stack
from tidegate_cluster.control_plane import ControlPlane

LONGEST = (
    "test_described_calls",
    "test_sign_in_flood",
    "test_people_pages",
    "test_history_speed",
    "test_mirror_threads",
    "test_processes",
    "test_browser",
    "test_postgres_away",
    "test_definitions_refresh",
    "test_wiped_postgres",
    "test_fuzz",
    "test_logs",
    "test_why",
    "test_projects",
    "test_mirror",
    "test_garbage",
)
PARTS = {"test_described_calls": 6}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    order(items, longest=LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread:
    """How they are dealt out where several processes run them."""
    return Spread(config, log, parts=PARTS)


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
    with granted_plane() as made:
        yield made


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database with today's schema and an admin, that tests get copies of."""
    return make_template(postgres)


@pytest.fixture
def proxy(plane: ControlPlane, tmp_path: Path) -> Iterator[FaultyProxy]:
    """A way to the apiserver that a test breaks. Its kubeconfig is an app's setting."""
    with FaultyProxy(plane, folder=tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def stack(
    postgres: Postgres, redis_server: Redis, plane: ControlPlane, template: str, numbers: Iterator[int]
) -> Iterator[Stack]:
    """Everything a test needs, made ready for it."""
    with made_stack(postgres, redis_server, plane, template, next(numbers)) as made:
        yield made


@pytest.fixture(scope="module")
def shared_stack(
    postgres: Postgres, redis_server: Redis, plane: ControlPlane, template: str, numbers: Iterator[int]
) -> Iterator[Stack]:
    """The same for the tests of a module that leave everything as it was: they only send what is refused."""
    with made_stack(postgres, redis_server, plane, template, next(numbers)) as made:
        yield made


@pytest.fixture(scope="module")
def shared_parts(shared_stack: Stack) -> Parts:
    """The app of the shared stack."""
    return shared_stack.parts("web")


@pytest.fixture(scope="module")
def site(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the shared stack's web app."""
    with pages_of(shared_stack, tmp_path_factory.mktemp("web")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page of it, for those who also send what is refused."""
    with signed_in(browser, site, email=EMAIL, password=PASSWORD, refusals=True) as made:
        yield made


@pytest.fixture(scope="module")
def shared_me(shared_parts: Parts) -> SignedIn:
    """A user who is signed in there."""
    return shared_parts.sign_in()


@pytest.fixture
def parts(stack: Stack) -> Parts:
    """The web app as ``tidegate-web all`` makes it, without its server."""
    return stack.parts("web")


@pytest.fixture
def mirror(stack: Stack) -> MirrorThread:
    """A mirror at work in this process."""
    return stack.mirror()
