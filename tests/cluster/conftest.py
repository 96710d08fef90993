"""One cluster for all tests of this stage, with the chart installed as on anyone's; each test has runs of its own."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from support.cluster import PROJECT, ClusterRuns, installed_cluster
from tidegate_demo.kubectl import Kubectl

ORDER = (
    "test_runs",
    "test_pods",
    "test_examples",
    "test_tutorial",
    "test_odd_input",
    "test_operator",
    "test_web",
    "test_lost_store",
    "test_chart",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The chart last: its tests replace every pod, and take the release away in the end."""
    items.sort(key=lambda item: ORDER.index(item.path.stem) if item.path.stem in ORDER else -1)


@pytest.fixture(scope="session")
def kubectl() -> Iterator[Kubectl]:
    """kubectl and helm of the cluster."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with installed_cluster() as made:
            yield made
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def runs(kubectl: Kubectl) -> ClusterRuns:
    """The runs of the project."""
    return ClusterRuns(kubectl, PROJECT)
