"""From a run to root on a node: a pod template that reaches its node is refused where its namespace doesn't say otherwise."""

from collections import Counter

import pytest
from support.builders import a_run, a_schedule, a_task
from support.host_access import ALLOW, ENFORCE, FIELD, ROOT, label, refused, root
from support.operator import OwnRuns
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")


@pytest.mark.parametrize("labels", [{}, {ENFORCE: "privileged"}, {f"{ENFORCE}-version": "v1.30"}])
def test_a_namespace_that_enforces_less_gives_no_node(plane: ControlPlane, labels: dict[str, str]) -> None:
    namespace = f"loose-{sum(map(len, labels))}"
    runs = OwnRuns(plane, namespace)
    if labels:
        label(runs, labels)
    runs.create(root("attack").built)
    message = refused(runs, "attack")
    assert message.startswith(f"{FIELD}: must not be set by the Pod Security level baseline")
    assert "tidegate.dev/allow-host-access=true" in message


def test_neither_does_a_task_or_a_schedule(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "by-definitions")
    runs.create(a_task("root", podTemplate=ROOT))
    runs.create(a_run("by-task").task_ref("root").built)
    assert FIELD in refused(runs, "by-task")
    runs.create(a_schedule("each", run=root("each")))

    def made() -> list[str]:
        found = runs.listed("taskruns.tidegate.dev", "tidegate.dev/schedule=each")
        return [run["metadata"]["name"] for run in found]

    wait_until(lambda: bool(made()), what="a run of the Schedule")
    assert FIELD in refused(runs, made()[0])


def test_each_field_is_named(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "named")
    templates = {
        "spec.hostNetwork": {"spec": {"hostNetwork": True}},
        "spec.initContainers[0].ports[0].hostPort": {
            "spec": {"initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 1, "hostPort": 1}]}]}
        },
        "spec.containers[0].securityContext.capabilities.add[0]": {
            "spec": {"containers": [{"name": "task", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}
        },
    }
    for number, template in enumerate(templates.values()):
        runs.create(a_run(f"field-{number}").task(podTemplate=template).built)
    messages = [refused(runs, f"field-{number}") for number in range(len(templates))]
    assert [message.partition(":")[0] for message in messages] == [f"podTemplate.{field}" for field in templates]


def test_a_cluster_admin_allows_it_by_a_label(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "allowed")
    runs.create(root("before").built)
    refused(runs, "before")
    label(runs, ALLOW)
    runs.create(root("after").built)
    runs.wait("after", "Succeeded")
    assert runs.get("before")["status"]["reason"] == "InvalidTask"


def test_a_run_that_waits_is_decided_by_the_labels_at_its_start(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "waits")
    label(runs, ALLOW)
    runs.create(root("held").spec(suspend=True).built)
    runs.wait("held", "Pending", reason="Suspended")
    label(runs, dict.fromkeys(ALLOW))
    runs.patch_spec("held", suspend=False)
    refused(runs, "held")


def test_where_the_apiserver_enforces_it_refuses_in_its_words(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "enforced")
    label(runs, {ENFORCE: "baseline"})
    runs.create(root("attack").built)
    assert "violates PodSecurity" in runs.wait("attack", "Failed", reason="PodRejected")["message"]


def test_what_baseline_allows_runs_anywhere(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "within")
    template = {
        "spec": {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}, "terminationGracePeriodSeconds": 1}
    }
    runs.create(a_run("rooted").task(podTemplate=template).built)
    runs.wait("rooted", "Succeeded")


def test_labels_are_read_for_such_runs_alone_and_not_for_each(plane: ControlPlane) -> None:
    runs = OwnRuns(plane, "counted")
    label(runs, ALLOW)
    spent = Counter(e.what for e in plane.requests("operator"))["get namespaces"]
    for number in range(3):
        runs.create(a_run(f"plain-{number}").task(podTemplate={"spec": {"priority": None}}).built)
        runs.wait(f"plain-{number}", "Succeeded")
    assert Counter(e.what for e in plane.requests("operator"))["get namespaces"] == spent
    for number in range(12):
        runs.create(root(f"root-{number}").built)
    for number in range(12):
        runs.wait(f"root-{number}", "Succeeded")
    # They are read again once they are a moment old, and the machine may be slow.
    assert spent < Counter(e.what for e in plane.requests("operator"))["get namespaces"] < spent + 12
