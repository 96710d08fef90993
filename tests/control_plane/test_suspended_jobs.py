"""Jobs that another controller suspends, as Kueue does: their runs wait, and neither time out nor start twice."""

import time
from collections.abc import Iterator

import pytest
from support.faults import held
from support.operator import OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_api.times import parse_time
from tidegate_cluster.control_plane import ControlPlane

START_TIMEOUT = 10
"""Seconds: a busy machine starts a fake pod within them."""


@pytest.fixture(scope="module")
def own(plane: ControlPlane, operator: OperatorProcess) -> OwnRuns:
    return OwnRuns(plane, "suspended-jobs")


@pytest.fixture
def kueue(own: OwnRuns) -> Iterator[None]:
    """Another controller's policy: Jobs with the label are suspended as they are made."""
    name = "kueue.example.com"
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [
            {
                "name": "ours",
                "expression": "has(object.metadata.labels) && 'example.com/kueue' in object.metadata.labels",
            }
        ],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": "Object{spec: Object.spec{suspend: true}}"},
            }
        ],
    }
    assert "mutatingadmissionpolicies" in own.kube.raw("/apis/admissionregistration.k8s.io/v1")
    group = {"apiVersion": "admissionregistration.k8s.io/v1"}
    policy = {**group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}
    binding = {
        **group,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    for body in (policy, binding):
        own.kube.create(body)
    probe = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "probe", "namespace": own.namespace, "labels": {"example.com/kueue": ""}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}},
    }

    def is_in_force() -> bool:
        return own.kube.create(probe, dry_run=True)["spec"].get("suspend") is True

    wait_until(is_in_force, what="the policy to be in force")
    yield
    for body in (policy, binding):
        own.kube.delete_one(body)


def resume(own: OwnRuns, name: str, *, suspend: bool) -> None:
    job = own.jobs(name)[-1]["metadata"]["name"]
    own.kube.patch("jobs", job, {"spec": {"suspend": suspend}})


@pytest.mark.usefixtures("kueue")
def test_a_job_that_another_controller_suspends_neither_runs_into_its_start_timeout_nor_is_made_twice(
    own: OwnRuns,
) -> None:
    body = held("suspended-job").labels({"example.com/kueue": "", "fake.tidegate.dev/hold": "1"})
    own.create(body.task(startTimeoutSeconds=START_TIMEOUT).built)
    own.wait("suspended-job", "Starting", reason="Scheduling")
    wait_until(lambda: "suspended by another" in own.get("suspended-job")["status"]["message"], what="the cause")
    created = own.jobs("suspended-job")[-1]["metadata"]["creationTimestamp"]
    wait_until(lambda: _age(created) > START_TIMEOUT + 2, what="more than the start timeout")
    assert own.get("suspended-job")["status"]["phase"] == "Starting"
    resume(own, "suspended-job", suspend=False)
    own.wait("suspended-job", "Running")
    # Preempted: its pod is deleted, and comes again with the same Job.
    resume(own, "suspended-job", suspend=True)
    own.wait("suspended-job", "Starting", reason="Scheduling")
    resume(own, "suspended-job", suspend=False)
    status = own.wait("suspended-job", "Running")
    assert [a["number"] for a in status["attempts"]] == [1]
    assert len(own.jobs("suspended-job")) == 1


def _age(created: str) -> float:
    return time.time() - (parse_time(created) or 0.0)
