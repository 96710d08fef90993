"""A leader and a worker for each test. Both are real: processes, pipes and TLS on the loopback interface."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.worker import SERVER_NAME, FakeLeader, PoolWorker, Session, Trust, running
from tidegate_cluster.pki import Authority

MakeWorker = Callable[..., PoolWorker]


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.create()
    issued = authority.issue(name="leader", subject=f"/CN={SERVER_NAME}", names=[f"DNS:{SERVER_NAME}"])
    return Trust(authority.ca, issued.certificate, issued.key)


@pytest.fixture
def leader(trust: Trust) -> Iterator[FakeLeader]:
    with FakeLeader(trust) as made:
        yield made


@pytest.fixture
def make_worker(leader: FakeLeader, tmp_path: Path) -> Iterator[MakeWorker]:
    """Starts a worker: ``make_worker(tasks="…", TIDEGATE_POOL_SLOTS="1")``. The module ``tasks`` is where it runs."""
    with ExitStack() as stack:

        def make(*, tasks: str = "", **variables: str) -> PoolWorker:
            (tmp_path / "tasks.py").write_text(tasks, encoding="utf-8")
            return stack.enter_context(running(PoolWorker(tmp_path, leader, variables)))

        yield make


@pytest.fixture
def start(make_worker: MakeWorker, leader: FakeLeader) -> Callable[..., tuple[PoolWorker, Session]]:
    """A worker that is connected, and its session."""

    def start_one(**given: str) -> tuple[PoolWorker, Session]:
        worker = make_worker(**given)
        return worker, leader.welcome()

    return start_one
