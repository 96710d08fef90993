"""One cluster for all tests of this stage, with the chart installed as on anyone's; each test has runs of its own.

Where processes of pytest-xdist share the tests, the one that deals them out makes the cluster and takes it away. Files that
disturb what all use (ALONE) wait until no other file goes on.
"""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import pytest
from support.cluster import CLUSTER, ClusterRuns, installed_cluster, project_runs
from support.kube import Kube
from support.spread import Spread, order
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_demo.install import NAMESPACE
from tidegate_demo.kubectl import Kubectl

LONGEST = ("test_lost_nodes", "test_web", "test_examples", "test_odd_input", "test_runs", "test_pods", "test_tutorial")
ALONE = (
    "test_odd_objects",
    "test_operator",
    "test_lost_store",
    # Its tests replace every pod, and take the release away in the end.
    "test_chart",
)
MADE = pytest.StashKey[ExitStack]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that are alone come last."""
    order(items, longest=LONGEST, last=ALONE)
    for item in items:
        # The first one may wait for the cluster, and for images where none are built yet.
        item.add_marker(pytest.mark.timeout(3600))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread:
    """Those that are alone are for one process."""
    return Spread(config, log, together=ALONE)


def is_worker(config: pytest.Config) -> bool:
    """Whether another process deals out the tests."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """The cluster is there before the processes begin that share it."""
    if session.config.getoption("numprocesses", None) and not is_worker(session.config):
        with ExitStack() as made:
            made.enter_context(interruptible_cluster())
            session.config.stash[MADE] = made.pop_all()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """It goes when they have ended."""
    if MADE in session.config.stash:
        session.config.stash[MADE].close()


@contextmanager
def interruptible_cluster() -> Iterator[Kubectl]:
    """A cluster that is taken away at SIGTERM as well."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with installed_cluster() as made:
            yield made
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def kubectl(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl and helm of the cluster."""
    if is_worker(request.config):
        yield Kubectl.of(Clusters(settings=settings.from_environment()), CLUSTER)
        return
    with interruptible_cluster() as made:
        yield made


@pytest.fixture(scope="session")
def release(kubectl: Kubectl) -> Kube:
    """The namespace of the release."""
    return Kube(kubectl.kubeconfig, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def runs(kubectl: Kubectl) -> ClusterRuns:
    return project_runs(kubectl)


@pytest.fixture(scope="module", autouse=True)
def share(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[None]:
    """A file begins when nothing goes on that is alone; what is alone, when nothing goes on."""
    del kubectl  # which is made first
    path = settings.from_environment().locks / f"tests-{CLUSTER}-shares.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if Path(request.node.path).stem in ALONE else fcntl.LOCK_SH)
        yield
