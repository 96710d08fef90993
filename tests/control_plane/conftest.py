"""One control plane with instant fake pods for all tests of this stage, and one operator unless a test brings its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import a_pool
from support.kube import Kube
from support.operator import OperatorProcess, OwnRuns, Runs, install_crds
from support.pools import TASKS, Node, node_of, pooled_operator, with_secret
from support.proxy import FaultyProxy
from support.schedules import KIND, Schedules
from support.servers import free_port
from support.spread import Spread, order
from tidegate_cluster.control_plane import ControlPlane

LONGEST = (
    "test_resilience",
    "test_growth",
    "test_fuzz",
    "test_chaos",
    "test_host_access",
    "test_cli_runs",
    "test_odd_input",
    "test_queues",
    "test_restore",
)
PARTS = {"test_fuzz": 2}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    order(items, longest=LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread:
    """How they are dealt out where several processes run them."""
    return Spread(config, log, parts=PARTS)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """A real apiserver with our CRDs, the Job controller, and a fake node whose pods complete at once."""
    # As clusters are set up: what a privileged pod may not be is for Pod Security to say.
    settings = ("--allow-privileged=true",)
    with ControlPlane(actors=("admin", "operator", "second"), pods="complete", apiserver_args=settings) as made:
        install_crds(made)
        yield made


@pytest.fixture(scope="session")
def kube(plane: ControlPlane) -> Kube:
    """Its apiserver, as an admin sees it."""
    return Kube(plane.kubeconfig())


@pytest.fixture(scope="session")
def runs(plane: ControlPlane) -> Runs:
    """The TaskRuns of the control plane."""
    return Runs(Kube(plane.kubeconfig()))


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator that leads."""
    log: Path = tmp_path_factory.mktemp("operator") / "log"
    # Under one name, as the container of a pod: killed and started again it leads at once.
    with OperatorProcess(plane, log=log, identity="operator") as made:
        yield made.wait_leading()


@pytest.fixture
def schedules(plane: ControlPlane, runs: Runs) -> Iterator[Schedules]:
    """Its Schedules, which are gone after the test."""
    yield Schedules(plane, runs)
    runs.kube.delete_all(KIND)


@pytest.fixture(scope="session")
def way(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProxy]:
    """The way to the apiserver on which faults can be put."""
    with FaultyProxy(plane, folder=tmp_path_factory.mktemp("proxy")) as made:
        yield made


@pytest.fixture
def proxy(way: FaultyProxy) -> Iterator[FaultyProxy]:
    """The same, without faults before and after the test."""
    yield way
    way.clear()


@pytest.fixture(scope="module")
def pooled(plane: ControlPlane, request: pytest.FixtureRequest) -> OwnRuns:
    """Runs of a namespace of the file's own."""
    made = OwnRuns(plane, Path(request.node.path).stem.replace("_", "-"))
    with_secret(made)
    return made


@pytest.fixture(scope="module")
def leader(plane: ControlPlane, pooled: OwnRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator with a dispatch port."""
    log: Path = tmp_path_factory.mktemp("operator") / "log"
    with pooled_operator(plane, log=log, port=free_port(), identity="operator") as made:
        yield made.wait_leading()


@pytest.fixture(scope="module")
def node(leader: OperatorProcess, pooled: OwnRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with a worker of pool `warm`, which has two slots and the module `tasks`."""
    with node_of(pooled, tmp_path_factory.mktemp("node"), tasks=TASKS) as made:
        pooled.create(a_pool("warm", preload=["tasks"], slots=2))
        made.run_all("warm")
        yield made
