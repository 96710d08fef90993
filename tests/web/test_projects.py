"""Projects: made over HTTP, adopted by their label, with rights of ours in these and nowhere else."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kubelet import Kubelet
from support.namespaces import delete_namespace, make_namespace
from support.rights import PROJECT_RIGHTS, RELEASE, account, granted_plane
from support.runs import RunMaker
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, row, until
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.cluster.client import (
    GROUP_VERSION,
    MERGE_PATCH,
    NAMESPACES,
    Cluster,
    bindings_path,
    queues_path,
    runs_path,
)
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.mirror.namespace_uids import NamespaceUids, ProjectNamespace

Json = dict[str, Any]
SETTINGS = {"project_rights": PROJECT_RIGHTS, "release_namespace": RELEASE}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of our own: a mirror that follows the projects follows those of all tests."""
    with granted_plane() as made:
        yield made


@pytest.fixture
def web(stack: Stack) -> Parts:
    """The web app with rights in projects alone."""
    return stack.parts(account("web"), **SETTINGS)


@pytest.fixture
def keeper(stack: Stack) -> MirrorThread:
    """A mirror that grants them."""
    return granting_mirror(stack)


def granting_mirror(stack: Stack, **changes: Any) -> MirrorThread:
    return stack.mirror(actor=account("mirror"), namespaces=[], **SETTINGS, **changes)


def label(stack: Stack, namespace: str, value: str | None) -> None:
    stack.runs.kube.label("namespaces", namespace, {"tidegate.dev/project": value})


def plain_namespace(stack: Stack, suffix: str) -> str:
    """A namespace that is no project."""
    name = f"{stack.project}-{suffix}"
    stack.runs.kube.create_namespace(name)
    return name


def may(cluster: Cluster, method: str, path: str, body: Json | None = None) -> bool:
    """Whether the apiserver lets them do this."""
    try:
        cluster.request(method, path, body=body, content_type=MERGE_PATCH if method == "PATCH" else "application/json")
    except ClusterError as error:
        if error.status != 403:
            raise
        return False
    return True


def bindings(stack: Stack, namespace: str) -> list[Json]:
    """Our RoleBindings there."""
    return stack.runs.kube.within(namespace).listed("rolebindings", "app.kubernetes.io/managed-by=tidegate")


def test_a_new_project_is_used_and_mirrored_at_once(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    me, name = web.sign_in(), f"{stack.project}-new"
    answer = me.post("/api/v1/projects", {"name": name})
    assert (answer.status_code, answer.json) == (201, {"name": name, "role": "admin", "ready": True})
    assert answer.headers["Location"] == f"/api/v1/projects/{name}"
    assert me.get(f"/api/v1/projects/{name}").json == answer.json
    assert {"name": name, "role": "admin"} in (me.get("/api/v1/projects").json or {})["items"]

    run = me.post(f"/api/v1/projects/{name}/runs", {"name": "first", "taskRef": {"name": "t"}})
    assert run.status_code == 201, run.text
    runs = RunMaker(stack.plane, name)
    runs.status("first", phase="Running")
    until(web, "first", lambda found: found.phase == "Running")

    metadata = stack.runs.kube.get("namespaces", name)["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert metadata["annotations"]["tidegate.dev/requested-by"] == "ada@example.com"
    (written,) = web.rows("SELECT * FROM audit WHERE action = 'project.create'")
    assert (written.project, written.outcome) == (name, "done")


def test_a_project_that_is_made_again_is_the_same(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    me = web.sign_in()
    first = me.post("/api/v1/projects", {"name": f"{stack.project}-twice"})
    again = me.post("/api/v1/projects", {"name": f"{stack.project}-twice"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json == again.json
    assert me.post("/api/v1/projects", {"name": stack.project}).status_code == 200  # labelled by hand


def test_a_namespace_becomes_a_project_by_the_hand_of_its_admin_alone(stack: Stack, web: Parts) -> None:
    name = plain_namespace(stack, "theirs")
    answer = web.sign_in().post("/api/v1/projects", {"name": name})
    assert answer.status_code == 409
    assert f"kubectl label namespace {name} tidegate.dev/project=true" in (answer.json or {})["detail"]
    labels = stack.runs.kube.get("namespaces", name)["metadata"]["labels"]
    assert "tidegate.dev/project" not in labels
    (written,) = web.rows("SELECT * FROM audit WHERE action = 'project.create'")
    assert written.outcome == "refused 409"


@pytest.mark.parametrize(
    ("name", "status"),
    [("kube-system", 409), ("kube-new", 409), (RELEASE, 409), ("Upper", 422), ("a.b", 422), ("", 422), ("x" * 64, 422)],
)
def test_what_can_be_no_project_is_refused(web: Parts, name: str, status: int) -> None:
    assert web.sign_in().post("/api/v1/projects", {"name": name}).status_code == status


def test_a_label_makes_no_project_of_what_is_kubernetes_or_ours(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    mine = Cluster.connect(stack.plane.kubeconfig(account("web")))
    for name in ("kube-public", RELEASE):
        label(stack, name, "true")
    try:
        wait_until(lambda: web.services.projects.directory.is_ready(stack.project), what="rights in the project beside")
        names = [item["name"] for item in (web.sign_in().get("/api/v1/projects").json or {})["items"]]
        assert stack.project in names
        for name in ("kube-public", RELEASE):
            assert name not in names
            assert bindings(stack, name) == []
            assert not may(mine, "GET", queues_path(name))
    finally:
        for name in ("kube-public", RELEASE):
            label(stack, name, None)


def test_only_admins_of_the_installation_make_projects(stack: Stack, web: Parts) -> None:
    body = {"name": f"{stack.project}-mine"}
    assert web.member("admin").post("/api/v1/projects", body).status_code == 403
    assert web.key("admin").post("/api/v1/projects", body).status_code == 403


def test_where_the_settings_name_the_projects_none_is_made(stack: Stack) -> None:
    me = stack.parts("web", namespaces=[stack.project]).sign_in()
    assert me.post("/api/v1/projects", {"name": stack.project}).status_code == 200
    answer = me.post("/api/v1/projects", {"name": f"{stack.project}-other"})
    assert answer.status_code == 409
    assert "TIDEGATE_NAMESPACES" in (answer.json or {})["detail"]


def test_without_a_mirror_a_new_project_says_that_it_is_not_ready(
    stack: Stack, web: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_web.projects.directory.READY_SECONDS", 0.2)
    me, name = web.sign_in(), f"{stack.project}-waits"
    answer = me.post("/api/v1/projects", {"name": name})
    assert (answer.status_code, (answer.json or {})["ready"]) == (201, False)
    granting_mirror(stack)
    wait_until(lambda: (me.get(f"/api/v1/projects/{name}").json or {})["ready"], what="the rights")


def test_we_may_do_nothing_outside_of_projects(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    wait_until(lambda: web.services.projects.directory.is_ready(stack.project), what="rights in the project")
    elsewhere = plain_namespace(stack, "elsewhere")
    run: Json = {"apiVersion": GROUP_VERSION, "kind": "TaskRun", "metadata": {"name": "x"}}
    run["spec"] = {"task": {"image": "busybox"}}
    as_web, as_mirror = (Cluster.connect(stack.plane.kubeconfig(account(part))) for part in ("web", "mirror"))
    assert may(as_web, "POST", runs_path(stack.project), run)
    assert not may(as_web, "POST", runs_path(elsewhere), run)
    labelled = {"metadata": {"labels": {"tidegate.dev/project": "true"}}}
    for cluster in (as_web, as_mirror):
        assert not may(cluster, "GET", runs_path(elsewhere))
        assert not may(cluster, "GET", runs_path(None))
        assert not may(cluster, "GET", f"{NAMESPACES}/{stack.project}/secrets")
        assert not may(cluster, "PATCH", f"{NAMESPACES}/{elsewhere}", labelled)


@pytest.mark.parametrize("part", ["web", "mirror"])
def test_no_role_grants_more_than_what_a_project_needs(stack: Stack, part: str) -> None:
    cluster = Cluster.connect(stack.plane.kubeconfig(account(part)))
    body = {
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": f"tidegate-{part}", "namespace": RELEASE}],
    }
    assert not may(cluster, "POST", bindings_path(stack.project), body)


def test_a_project_that_loses_its_label_is_left_alone(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    stack.runs.create("before")
    until(web, "before", lambda found: True)
    label(stack, stack.project, None)
    wait_until(lambda: not web.services.projects.directory.is_ready(stack.project), what="the rights to go")
    wait_until(lambda: not bindings(stack, stack.project), what="our RoleBindings to go")
    stack.runs.status("before", phase="Running")
    stack.runs.create("meanwhile")
    me = web.sign_in()
    assert (me.get("runs/before").json or {})["phase"] == "Pending"  # what is stored can be read
    assert me.post("runs", {"taskRef": {"name": "t"}}).status_code == 404

    label(stack, stack.project, "true")
    until(web, "before", lambda found: found.phase == "Running")
    until(web, "meanwhile", lambda found: True)


def test_a_binding_that_is_deleted_comes_back(stack: Stack, web: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.mirror.project_controller.LOOK_SECONDS", 0.2)
    granting_mirror(stack)
    wait_until(lambda: web.services.projects.directory.is_ready(stack.project), what="the rights")
    stack.runs.kube.delete_all("rolebindings", "app.kubernetes.io/managed-by=tidegate", wait=False)
    stack.runs.create("after")
    wait_until(lambda: len(bindings(stack, stack.project)) == 2, what="both RoleBindings")
    until(web, "after", lambda found: True)


def test_runs_of_a_deleted_namespace_are_archived(stack: Stack, web: Parts) -> None:
    name = f"{stack.project}-gone"
    stack.runs.kube.create_namespace(name, {"tidegate.dev/project": "true"})
    runs = RunMaker(stack.plane, name)
    runs.create("lost")
    first = granting_mirror(stack)
    until(web, "lost", lambda found: True)
    first.end()
    delete_namespace(runs)
    granting_mirror(stack)
    found = until(web, "lost", lambda found: found.deleted_at is not None)
    assert (found.phase, found.reason) == ("Cancelled", "Deleted")


def test_no_rights_are_granted_in_a_namespace_made_again_before_the_old_data_is_set_apart(
    stack: Stack, web: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = granting_mirror(stack)
    stack.runs.create("old")
    until(web, "old", lambda found: True)
    bob = web.member("admin", email="bob@example.com")
    first.end()
    delete_namespace(stack.runs)
    make_namespace(stack.runs)

    settle, may_settle = NamespaceUids.settle, threading.Event()

    def settle_later(uids: NamespaceUids, namespace: ProjectNamespace) -> bool:
        return (namespace.project != stack.project or may_settle.is_set()) and settle(uids, namespace)

    monkeypatch.setattr(NamespaceUids, "settle", settle_later)
    monkeypatch.setattr("tidegate_web.mirror.project_controller.RETRY_SECONDS", 0.1)
    other = RunMaker(stack.plane, f"{stack.project}-beside")
    other.make_project()
    granting_mirror(stack)
    wait_until(lambda: len(bindings(stack, other.project)) == 2, what="rights in the project beside")
    assert bindings(stack, stack.project) == []
    may_settle.set()
    wait_until(lambda: len(bindings(stack, stack.project)) == 2, what="rights in the new project")
    web.services.projects.directory.forget()
    assert bob.get("runs").status_code == 403
    assert (web.sign_in().get("runs").json or {})["items"] == []


def test_finished_runs_of_projects_are_deleted_when_stored(stack: Stack, web: Parts, keeper: MirrorThread) -> None:
    stack.runs.create("short")
    finish(stack, "short", ttl=0)
    wait_until(lambda: not stack.runs.exists("short"), what="the run to go")
    until(web, "short", lambda found: found.deleted_at is not None)
    assert row(web, "short").phase == "Succeeded"


def test_no_log_is_lost_while_a_project_has_no_label(
    stack: Stack, web: Parts, keeper: MirrorThread, tmp_path: Path
) -> None:
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as kubelet:
        run = stack.runs.create("talks")
        job = stack.runs.job(run)
        pod = f"{job['metadata']['name']}-pod"
        stack.runs.pod(pod, owner=job, run_uid=run["metadata"]["uid"], node=kubelet.name)
        stack.runs.pod_state(pod)
        log = kubelet.log(pod)
        log.write(b"before\n")
        wait_until(lambda: logged(web) == "before\n", what="the first line")
        label(stack, stack.project, None)
        wait_until(lambda: not bindings(stack, stack.project), what="our RoleBindings to go")
        log.write(b"meanwhile\n", close=True)
        stack.runs.pod_state(pod, exit_code=0)
        label(stack, stack.project, "true")
        wait_until(lambda: bool(web.rows("SELECT * FROM log_ends")), what="the end mark")
        assert [end.mark for end in web.rows("SELECT mark FROM log_ends")] == ["complete"]
        assert logged(web) == "before\nmeanwhile\n"


def logged(parts: Parts) -> str:
    answer: Any = parts.sign_in().get("runs/talks/logs").json
    return "".join(item["text"] for item in answer.get("items", []))
