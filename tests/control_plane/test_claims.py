"""Two releases of the chart on one cluster: one supervises, the other stands back and says so."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_run
from support.kube import Kube
from support.operator import OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.watch.claims import CLAIM, RELEASE_ANNOTATION

OWN, OTHER = "team/own", "team/other"


def a_claim(release: str, *, namespace: str = "") -> dict[str, Any]:
    where = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": {"name": CLAIM, "annotations": {RELEASE_ANNOTATION: release}, **where},
        "rules": [],
    }


@contextmanager
def claimed(kube: Kube, release: str, *, namespace: str = "") -> Iterator[None]:
    claim = a_claim(release, namespace=namespace)
    kube.apply(claim)
    try:
        yield
    finally:
        kube.delete_one(claim)


@pytest.fixture
def own(plane: ControlPlane) -> OwnRuns:
    return OwnRuns(plane, f"claims-{uuid.uuid4().hex[:8]}")


@contextmanager
def operator_of(plane: ControlPlane, own: OwnRuns, folder: Path, **settings: str) -> Iterator[OperatorProcess]:
    operator = OperatorProcess(
        plane, log=folder / "log", release=OWN, lease_name=own.namespace, sweep_seconds="1", **settings
    )
    try:
        yield operator.start()
    finally:
        operator.stop()


def wait_refusal(operator: OperatorProcess, words: str) -> None:
    wait_until(lambda: words in operator.page("readyz")[1], what=f"the operator to say: {words}")


def test_an_operator_waits_until_no_other_release_has_all_namespaces(
    plane: ControlPlane, kube: Kube, own: OwnRuns, tmp_path: Path
) -> None:
    own.create(a_run("waits").built)
    with claimed(kube, OTHER), operator_of(plane, own, tmp_path) as operator:
        wait_refusal(operator, f"release {OTHER} supervises all namespaces")
        assert own.jobs("waits") == []
        kube.apply(a_claim(OWN))
        own.wait("waits", "Succeeded")


@pytest.mark.parametrize("everywhere", [True, False])
def test_an_operator_of_some_namespaces_stands_back_for_one_that_has_them(
    plane: ControlPlane, kube: Kube, own: OwnRuns, tmp_path: Path, everywhere: bool
) -> None:
    where = "" if everywhere else own.namespace
    with claimed(kube, OTHER, namespace=where), operator_of(plane, own, tmp_path, namespaces=own.namespace) as operator:
        wait_refusal(operator, "supervises all namespaces" if everywhere else f"supervises namespace {own.namespace}")


def test_an_operator_ends_when_its_claim_is_taken_over(
    plane: ControlPlane, kube: Kube, own: OwnRuns, tmp_path: Path
) -> None:
    with claimed(kube, OWN), operator_of(plane, own, tmp_path) as operator:
        operator.wait_leading()
        kube.apply(a_claim(OTHER))
        wait_until(lambda: operator.exit_code is not None, what="the operator to end")
        assert f"release {OTHER} supervises all namespaces" in operator.log
        operator.start()
        wait_refusal(operator, f"release {OTHER} supervises all namespaces")
