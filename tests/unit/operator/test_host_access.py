"""Which pod templates may run where."""

import pytest
from tidegate_api.bodies import TaskSpecBody
from tidegate_operator.policies.host_access import beyond_baseline, refuse_host_access

PRIVILEGED: TaskSpecBody = {"podTemplate": {"spec": {"containers": [{"securityContext": {"privileged": True}}]}}}


def test_a_task_without_a_template_is_within_baseline() -> None:
    assert beyond_baseline({"image": "busybox"}) is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({}, "namespace team enforces less and lacks the label tidegate.dev/allow-host-access=true"),
        ({"pod-security.kubernetes.io/enforce": "privileged"}, "enforces less"),
        (None, "the operator may not read the labels of namespace team"),
    ],
)
def test_the_refusal_names_the_field_and_what_to_do(labels: dict[str, str] | None, words: str) -> None:
    violation = beyond_baseline(PRIVILEGED)
    assert violation is not None
    refusal = refuse_host_access(violation, labels, namespace="team")
    assert refusal is not None
    assert refusal.reason == "InvalidTask"
    assert refusal.message.startswith("podTemplate.spec.containers[0].securityContext.privileged: must not be true")
    assert words in refusal.message


@pytest.mark.parametrize(
    "labels", [{"tidegate.dev/allow-host-access": "true"}, {"pod-security.kubernetes.io/enforce": "restricted"}]
)
def test_where_the_namespace_decides_nothing_is_refused(labels: dict[str, str]) -> None:
    violation = beyond_baseline(PRIVILEGED)
    assert violation is not None
    assert refuse_host_access(violation, labels, namespace="team") is None
