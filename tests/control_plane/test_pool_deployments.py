"""The Deployments of pools: a real apiserver and a real operator make, scale and keep them. No worker runs."""

from collections.abc import Iterator

import pytest
from support.builders import a_pool
from support.operator import OwnRuns
from support.pools import pool_status, pooled_operator, with_secret
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane


@pytest.fixture(scope="module")
def sized(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRuns]:
    """A namespace with an operator that leads."""
    runs = OwnRuns(plane, "sized")
    with_secret(runs)
    with pooled_operator(plane, log=tmp_path_factory.mktemp("operator") / "log", port=free_port()) as made:
        made.wait_leading()
        yield runs


def test_a_pool_is_scaled_as_a_deployment_is(plane: ControlPlane, sized: OwnRuns) -> None:
    sized.create(a_pool("scaled", replicas=1))
    wait_until(lambda: pool_status(sized, "scaled").get("replicas") == 1, what="one replica")
    plane.kubectl("scale", "-n", "sized", "workerpools.tidegate.dev/scaled", "--replicas=3")
    wait_until(lambda: pool_status(sized, "scaled").get("replicas") == 3, what="three replicas")
    (deployment,) = sized.listed("deployments", "tidegate.dev/pool=scaled")
    assert deployment["spec"]["replicas"] == 3
    assert pool_status(sized, "scaled")["selector"] == "tidegate.dev/pool=scaled"
    plane.kubectl("scale", "-n", "sized", "workerpools.tidegate.dev/scaled", "--replicas=0")
    wait_until(lambda: pool_status(sized, "scaled").get("replicas") == 0, what="none")


def test_a_pool_that_is_deleted_takes_its_deployment_along(sized: OwnRuns) -> None:
    sized.create(a_pool("short"))
    wait_until(lambda: len(sized.listed("deployments", "tidegate.dev/pool=short")) == 1, what="its Deployment")
    sized.kube.delete("workerpools.tidegate.dev", "short", wait=False)
    wait_until(lambda: sized.listed("deployments", "tidegate.dev/pool=short") == [], what="no Deployment")


def test_a_deployment_that_someone_deletes_comes_again(sized: OwnRuns) -> None:
    sized.create(a_pool("stubborn"))
    wait_until(lambda: len(sized.listed("deployments", "tidegate.dev/pool=stubborn")) == 1, what="its Deployment")
    (deployment,) = sized.listed("deployments", "tidegate.dev/pool=stubborn")
    name, uid = deployment["metadata"]["name"], deployment["metadata"]["uid"]
    sized.kube.delete("deployments", name, wait=False)

    def is_new() -> bool:
        found = sized.listed("deployments", "tidegate.dev/pool=stubborn")
        return len(found) == 1 and found[0]["metadata"]["uid"] != uid

    wait_until(is_new, what="another Deployment")
