"""The rules of the Pod Security level `baseline`: which field is named, and what becomes of odd input."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.pod_security import baseline_violation, baseline_violations, decides_itself

Json = dict[str, Any]


def in_container(**fields: Any) -> Json:
    return {"spec": {"containers": [{"name": "other"}, {"name": "task", **fields}]}}


def in_context(**fields: Any) -> Json:
    return in_container(securityContext=fields)


CONTAINER = "spec.containers[1]"


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork"),
        ({"spec": {"hostPID": True}}, "spec.hostPID"),
        ({"spec": {"hostIPC": True}}, "spec.hostIPC"),
        ({"spec": {"volumes": [{"name": "a"}, {"name": "b", "hostPath": {"path": "/"}}]}}, "spec.volumes[1].hostPath"),
        ({"spec": {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}}, "spec.securityContext.sysctls[0].name"),
        ({"spec": {"securityContext": {"windowsOptions": {"hostProcess": True}}}},
         "spec.securityContext.windowsOptions.hostProcess"),
        ({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}, "spec.securityContext.seccompProfile.type"),
        ({"spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}}, "spec.securityContext.appArmorProfile.type"),
        ({"spec": {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}}, "spec.securityContext.seLinuxOptions.type"),
        (in_container(ports=[{"hostPort": 80}]), f"{CONTAINER}.ports[0].hostPort"),
        (in_container(livenessProbe={"httpGet": {"host": "h"}}), f"{CONTAINER}.livenessProbe.httpGet.host"),
        (in_container(lifecycle={"preStop": {"tcpSocket": {"host": "h"}}}), f"{CONTAINER}.lifecycle.preStop.tcpSocket.host"),
        (in_context(privileged=True), f"{CONTAINER}.securityContext.privileged"),
        (in_context(capabilities={"add": ["CHOWN", "SYS_ADMIN"]}), f"{CONTAINER}.securityContext.capabilities.add[1]"),
        (in_context(procMount="Unmasked"), f"{CONTAINER}.securityContext.procMount"),
        (in_context(windowsOptions={"hostProcess": True}), f"{CONTAINER}.securityContext.windowsOptions.hostProcess"),
        (in_context(seLinuxOptions={"user": "u"}), f"{CONTAINER}.securityContext.seLinuxOptions.user"),
        (in_context(seLinuxOptions={"role": "r"}), f"{CONTAINER}.securityContext.seLinuxOptions.role"),
        ({"spec": {"initContainers": [{"securityContext": {"privileged": True}}]}},
         "spec.initContainers[0].securityContext.privileged"),
        ({"spec": {"ephemeralContainers": [{"securityContext": {"privileged": True}}]}},
         "spec.ephemeralContainers[0].securityContext.privileged"),
        ({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/task": "unconfined"}}},
         "metadata.annotations[container.apparmor.security.beta.kubernetes.io/task]"),
    ],
)  # fmt: skip
def test_a_field_beyond_baseline_is_named_by_its_path(template: Json, field: str) -> None:
    assert [violation.field for violation in baseline_violations(template)] == [field]


@pytest.mark.parametrize(
    "template",
    [
        None,
        {"spec": {"securityContext": {"runAsUser": 0}, "serviceAccountName": "any"}},
        {"spec": {"hostNetwork": False, "hostPID": None}},
        in_container(ports=[{"containerPort": 80, "hostPort": 0}]),
        {"spec": {"hostUsers": False, "containers": [{"securityContext": {"procMount": "Unmasked"}}]}},
    ],
)
def test_what_baseline_allows_is_left_alone(template: Json | None) -> None:
    assert baseline_violation(template) is None


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"hostNetwork": "false"}},
        {"spec": {"hostPID": 1}},
        in_container(ports=[{"hostPort": "80"}]),
        in_context(privileged="no"),
        in_context(procMount=["Default"]),
        in_context(capabilities={"add": [["CHOWN"]]}),
        in_context(seccompProfile={"type": ["RuntimeDefault"]}),
        in_context(seLinuxOptions={"type": {}}),
        {"spec": {"volumes": [{"hostPath": "/"}]}},
    ],
)
def test_a_value_of_a_wrong_type_counts_as_a_violation(template: Json) -> None:
    assert baseline_violation(template) is not None


FIELDS = st.sampled_from(
    ["metadata", "annotations", "spec", "containers", "initContainers", "securityContext", "volumes", "hostPath", "ports",
     "capabilities", "add", "sysctls", "name", "seccompProfile", "type", "lifecycle", "preStop", "httpGet", "host"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=30,
)


@given(ANYTHING)
def test_any_json_can_be_judged(template: object) -> None:
    assert all(violation.field for violation in baseline_violations(template))


@pytest.mark.parametrize(
    ("labels", "has"),
    [
        ({}, False),
        ({"pod-security.kubernetes.io/enforce": "privileged"}, False),
        ({"pod-security.kubernetes.io/warn": "baseline"}, False),
        ({"pod-security.kubernetes.io/enforce": "baseline"}, True),
        ({"pod-security.kubernetes.io/enforce": "restricted"}, True),
        ({"tidegate.dev/allow-host-access": "true"}, True),
        ({"tidegate.dev/allow-host-access": "yes"}, False),
    ],
)
def test_a_namespace_decides_itself_where_it_enforces_baseline_or_is_allowed(labels: dict[str, str], has: bool) -> None:
    assert decides_itself(labels) is has
