"""What becomes of the release's own service accounts once an attacker has them: each does what its work needs, and no more.

Each attack is made twice: with the chart's rights alone, where it succeeds, and then with its policies.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.attacks import (
    ATTACKS,
    ROLES,
    USER,
    Attack,
    a_cluster_binding,
    a_deployment,
    a_pod,
    a_role,
    placed,
)
from support.builders import a_pool, a_run, a_schedule, a_task
from support.chart import NAMESPACE, RELEASE, account, render
from support.kube import HTTPError, Kube
from support.operator import OperatorProcess, OwnRuns, Runs, install_crds
from support.pools import dispatch_settings
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.cluster.client import Cluster
from tidegate_web.mirror.bindings import Bindings
from tidegate_web.projects.directory import Projects

Json = dict[str, Any]
RIGHTS = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"})
POLICIES = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})


def apply(kube: Kube, items: list[Json]) -> None:
    for item in items:
        kube.apply(item)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane with the chart's rights, a project and a pod in it that is ours and one that isn't."""
    actors = {"admin": ["system:masters"], **{account(part): [] for part in ("operator", "web", "mirror")}}
    with ControlPlane(actors=actors, pods="complete") as plane:
        install_crds(plane)
        kube = Kube(plane.kubeconfig())
        project = {"name": "project", "labels": {"tidegate.dev/project": "true"}}
        for metadata in ({"name": NAMESPACE}, {"name": "plain"}, project):
            apply(kube, [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
        # Both ways to have rights: what the accounts have in projects, they have everywhere here.
        apply(kube, render(kinds=RIGHTS))
        apply(kube, render("--set", "web.rights=cluster", kinds=RIGHTS))
        verbs = {"apiGroups": ["tidegate.dev"], "resources": ["*"], "verbs": ["*"]}
        apply(kube, [a_role(USER, [verbs]), a_cluster_binding(USER, USER, "User", USER)])
        for name, labels in (("ours", {"app.kubernetes.io/managed-by": "tidegate"}), ("theirs", {})):
            apply(kube, [a_pod(name, labels)])
        apply(kube, [a_deployment("theirs"), placed(a_task("kept"))])
        yield plane


@pytest.fixture(scope="module")
def refused_before(plane: ControlPlane) -> dict[str, str]:
    """The attacks that the rights alone refuse, each with the apiserver's words."""
    kube = Kube(plane.kubeconfig())
    found = {}
    for name, attack in ATTACKS.items():
        try:
            attack.make(kube)
        except HTTPError as error:
            found[name] = str(error)
    return found


@pytest.fixture(scope="module")
def held(plane: ControlPlane, refused_before: dict[str, str]) -> ControlPlane:
    """The chart's policies too, once each of them is in force."""
    kube = Kube(plane.kubeconfig())
    apply(kube, render("--set", "policies.requireCreatePods=true", kinds=POLICIES))
    for name, attack in ATTACKS.items():
        wait_until(partial(attack.is_refused, kube), what=f"{name} to be refused")
    return plane


@pytest.mark.parametrize("name", ATTACKS)
def test_what_an_account_needs_not_is_refused(refused_before: dict[str, str], held: ControlPlane, name: str) -> None:
    assert name not in refused_before, refused_before[name]
    assert ATTACKS[name].is_refused(Kube(held.kubeconfig()))


def test_the_web_app_makes_projects(held: ControlPlane) -> None:
    cluster = Cluster.connect(held.kubeconfig(account("web")))
    projects = Projects(cluster=cluster, namespaces=[], own_namespace=NAMESPACE, pod_security="baseline")
    assert projects.make("team", who="ada@example.com")
    run = a_run("first").namespace("team").built
    assert cluster.create_run("team", run)["metadata"]["namespace"] == "team"


def test_the_mirror_grants_rights_in_projects(held: ControlPlane) -> None:
    rights = {f"{RELEASE}-{part}": role for part, role in ROLES.items()}
    cluster = Cluster.connect(held.kubeconfig(account("mirror")))
    bindings = Bindings(cluster=cluster, rights=rights, namespace=NAMESPACE)
    bindings.complete("project", set())
    assert bindings.present()["project"] == set(ROLES.values())
    bindings.remove("project", set(ROLES.values()))
    assert "project" not in bindings.present()


def test_the_operator_runs_and_stops_runs(held: ControlPlane, tmp_path: Path) -> None:
    runs = OwnRuns(held, "worked-in")
    lease = {"lease_namespace": NAMESPACE, "lease_name": f"{RELEASE}-operator", "release_namespace": NAMESPACE}
    dispatch = dispatch_settings(free_port())
    metadata = {"name": dispatch["dispatch_secret"], "namespace": NAMESPACE}
    runs.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"})
    with OperatorProcess(held, actor=account("operator"), log=tmp_path / "log", **lease, **dispatch) as made:
        made.wait_leading()
        for replicas in (1, 2):
            spec = {"image": "runner", "replicas": replicas}
            runs.kube.apply(runs.placed({**a_pool("warm"), "spec": spec}))
            wait_until(partial(_has_replicas, runs, replicas), what=f"a Deployment of {replicas}")
        runs.create(a_run("done").built)
        runs.wait("done", "Succeeded")
        runs.create(a_run("stopped").pod(hold="1").built)
        runs.wait("stopped", "Running")
        runs.patch_spec("stopped", cancel=True)
        runs.wait("stopped", "Cancelled")
        for namespace in ("kube-system", NAMESPACE):
            there = Runs(runs.kube.within(namespace))
            there.create(a_run("misplaced").namespace(namespace).built)
            status = there.wait("misplaced", "Failed", reason="InvalidTask")
            assert f"no run starts in namespace {namespace}" in status["message"]
            assert there.jobs("misplaced") == []


def test_who_may_create_pods_makes_inline_tasks_and_anyone_runs_of_a_task(held: ControlPlane) -> None:
    kube = Kube(held.kubeconfig(), namespace="project")
    user = kube.acting_as(USER)
    user.create(a_run("by-task").task_ref("any").namespace("project").built)
    user.patch("taskruns.tidegate.dev", "by-task", {"spec": {"cancel": True}})
    kube.create(placed(a_schedule("kept")))
    user.patch("schedules.tidegate.dev", "kept", {"spec": {"suspend": True}})
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    apply(
        kube,
        [
            a_role("pods", [pods]),
            a_cluster_binding("pods", "pods", "User", "grace"),
            a_cluster_binding("g", USER, "User", "grace"),
        ],
    )
    allowed = Attack(who="grace", manifest=a_run("r").namespace("project").built, words="")
    wait_until(partial(allowed.succeeds, kube), what="who may create pods to make an inline task")


def _has_replicas(runs: OwnRuns, count: int) -> bool:
    found = runs.listed("deployments", "tidegate.dev/pool=warm")
    return [d["spec"]["replicas"] for d in found] == [count]
