"""A cluster that assigns users, as OpenShift does: no pod may name one. An admission policy stands in for it."""

from collections.abc import Iterator

import pytest
from support.builders import a_run
from support.chart import Json, render
from support.kube import HTTPError, Kube
from support.operator import OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

NAMED = "assigned-ids"
WORKLOADS = frozenset({"Deployment", "StatefulSet", "Job"})
POLICY: Json = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": NAMED},
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [
            {
                "expression": "!has(object.spec.securityContext) || (!has(object.spec.securityContext.runAsUser)"
                " && !has(object.spec.securityContext.runAsGroup) && !has(object.spec.securityContext.fsGroup))",
                "message": "the cluster assigns users and groups",
            },
            {
                "expression": "object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.runAsUser))",
                "message": "the cluster assigns users and groups",
            },
        ],
    },
}
BINDING: Json = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": NAMED},
    "spec": {
        "policyName": NAMED,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"assigns-ids": "true"}}},
    },
}
LABELS = {"assigns-ids": "true", "pod-security.kubernetes.io/enforce": "restricted"}


def pods_of(*options: str) -> list[Json]:
    """A pod of each workload of the chart, with the default service account."""
    found = []
    for document in render("--set", "postgres.persistence.enabled=false", *options):
        if document["kind"] in WORKLOADS:
            pod = document["spec"]["template"]
            spec = {**pod["spec"], "serviceAccountName": "default"}
            name = document["metadata"]["name"]
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    return found


@pytest.fixture(scope="module")
def assigning(kube: Kube) -> Iterator[Kube]:
    """A namespace where no pod may name a user, once the policy is in force."""
    kube.apply(POLICY)
    kube.apply(BINDING)
    made = kube.create_namespace(NAMED, LABELS)
    made.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    pod = pods_of()[0]

    def refuses() -> bool:
        try:
            made.create(pod, dry_run=True)
        except HTTPError as error:
            return "assigns users" in str(error)
        return False

    wait_until(refuses, what="the policy to be in force")
    yield made
    kube.delete_one(BINDING)
    kube.delete_one(POLICY)


def test_with_fixed_ids_the_pods_of_the_release_are_refused(assigning: Kube) -> None:
    for pod in pods_of():
        with pytest.raises(HTTPError, match="assigns users"):
            assigning.create(pod, dry_run=True)


def test_without_them_all_are_taken_and_still_restricted(assigning: Kube) -> None:
    pods = pods_of("--set", "fixedUserIds=false,generateSecrets=job")
    assert len(pods) == 8
    for pod in pods:
        assigning.create(pod, dry_run=True)


def test_neither_does_a_task_name_one(
    plane: ControlPlane, assigning: Kube, tmp_path_factory: pytest.TempPathFactory
) -> None:
    documents = render("--set", "fixedUserIds=false", kinds=frozenset({"Deployment"}))
    (operator,) = (d for d in documents if d["metadata"]["name"] == "tidegate-operator")
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value", "") for each in container["env"]}
    runs = OwnRuns(plane, f"{NAMED}-runs")
    runs.kube.patch("namespaces", runs.namespace, {"metadata": {"labels": LABELS}})
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(plane, log=log, lease_name=NAMED, run_as_user=env["TIDEGATE_RUN_AS_USER"]) as made:
        made.wait_leading()
        runs.create(a_run("assigned").built)
        runs.wait("assigned", "Succeeded")
