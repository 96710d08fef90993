"""Our rules of the Pod Security level `baseline` say what the apiserver's say: of the standard's own conformance data, and of
pods that are put together at random."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from support.conformance import pod_security_pods
from support.kube import HTTPError, Kube
from tidegate_api.pod_security import CAPABILITIES, SELINUX_TYPES, SYSCTLS, Violation, baseline_violation

Json = dict[str, Any]
NAMESPACE = "held-to-baseline"
PODS = 400
SEED = 20261127


@pytest.fixture(scope="module")
def within(kube: Kube) -> Kube:
    return kube.create_namespace(NAMESPACE, {"pod-security.kubernetes.io/enforce": "baseline"})


def apiservers_verdict(within: Kube, pod: Json) -> bool | None:
    """Whether the namespace's Pod Security level lets the pod in; None for one that is no valid pod, which is seen before."""
    body = {"apiVersion": "v1", "kind": "Pod", **pod}
    try:
        within.create(body, dry_run=True)
    except HTTPError as error:
        if error.code == 422:
            return None
        if error.code != 403 or 'violates PodSecurity "baseline' not in str(error):
            raise
        return False
    return True


def compare(within: Kube, pods: list[Json]) -> list[tuple[bool, Violation | None]]:
    """The verdict on each valid pod, which has to be ours too."""
    verdicts = []
    for pod in pods:
        verdict, violation = apiservers_verdict(within, pod), baseline_violation(pod)
        if verdict is not None:
            assert verdict is (violation is None), (violation, pod)
            verdicts.append((verdict, violation))
    return verdicts


@pytest.mark.parametrize("passes", [True, False])
def test_the_conformance_data_of_the_standard_gets_its_verdict(within: Kube, passes: bool) -> None:
    pods = pod_security_pods("baseline", "pass" if passes else "fail")
    assert {name: baseline_violation(pod) is None for name, pod in pods.items()} == dict.fromkeys(pods, passes)
    assert len(compare(within, [*pods.values()])) >= 10


def test_each_field_alone_gets_the_apiservers_verdict(within: Kube) -> None:
    verdicts = compare(within, [*single_pods()])
    assert sum(verdict for verdict, _ in verdicts) >= 80
    refused = {
        violation.field.rpartition(".")[2].partition("[")[0] for _, violation in verdicts if violation is not None
    }
    # Alone, procMount and hostProcess make no valid pod.
    assert refused >= {
        "hostNetwork", "hostPID", "hostIPC", "hostPath", "hostPort", "privileged", "add", "type", "user", "role", "host", "name",
    }  # fmt: skip


def test_pods_put_together_at_random_get_the_apiservers_verdict(within: Kube) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same pods each time
    verdicts = [verdict for verdict, _ in compare(within, [random_pod(chance) for _ in range(PODS)])]
    assert verdicts.count(True) >= 50
    assert verdicts.count(False) >= 50


PROFILE_TYPES = ["RuntimeDefault", "Localhost", "Unconfined", "Other", ""]
CONTEXT: dict[str, list[Any]] = {
    "windowsOptions": [{}, {"hostProcess": False}, {"hostProcess": True}, {"runAsUserName": "u"}],
    "seccompProfile": [{"type": kind, "localhostProfile": "p"} for kind in PROFILE_TYPES] + [{}, None],
    "appArmorProfile": [{"type": kind, "localhostProfile": "p"} for kind in PROFILE_TYPES] + [{}, None],
    "seLinuxOptions": [
        *({"type": kind} for kind in (*sorted(SELINUX_TYPES), "", "spc_t", None)),
        {"user": "u"}, {"user": ""}, {"role": "r"}, {"role": ""}, {"level": "s0"},
    ],
}  # fmt: skip
"""Of a security context: values of its fields, allowed ones and others."""
OF_CONTAINER: dict[str, list[Any]] = {
    **CONTEXT,
    "privileged": [True, False, None],
    "procMount": ["Default", "Unmasked", "", None],
    "capabilities": [{"add": [name]} for name in (*sorted(CAPABILITIES), "NET_RAW", "SYS_ADMIN", "CAP_CHOWN", "chown", "ALL", "")]
    + [{"drop": ["ALL"]}, {"add": []}, {"add": None}, None],
    "runAsUser": [0, 1000],
    "allowPrivilegeEscalation": [True],
}  # fmt: skip
OF_POD: dict[str, list[Any]] = {
    **CONTEXT,
    "sysctls": [[{"name": name, "value": "1"}] for name in (*sorted(SYSCTLS), "kernel.msgmax", "net/ipv4/tcp_syncookies", "")],
    "runAsUser": [0],
}  # fmt: skip
HANDLERS: list[Json] = [
    {"httpGet": {"port": 1}},
    {"httpGet": {"port": 1, "host": ""}},
    {"httpGet": {"port": 1, "host": "10.0.0.1"}},
    {"tcpSocket": {"port": 1, "host": "localhost"}},
    {"exec": {"command": ["true"]}},
]
CONTAINER: dict[str, list[Any]] = {
    "ports": [[{"containerPort": 1, "hostPort": port}] for port in (0, 80, None)] + [[{"containerPort": 1}]],
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe"), HANDLERS),
    "lifecycle": [{hook: handler} for hook in ("postStart", "preStop") for handler in HANDLERS],
}
SPEC: dict[str, list[Any]] = {
    "hostNetwork": [True, False, None],
    "hostPID": [True, False],
    "hostIPC": [True, False],
    "hostUsers": [True, False, None],
    "volumes": [[{"name": "v", kind: value}] for kind, value in (("emptyDir", {}), ("hostPath", {"path": "/"}), ("hostPath", None))],
    "shareProcessNamespace": [True],
}  # fmt: skip
ANNOTATIONS = [
    {"container.apparmor.security.beta.kubernetes.io/c": value}
    for value in ("runtime/default", "localhost/p", "unconfined", "", "other")
] + [{"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}]
PLACES = ("containers", "initContainers")


def plain_pod() -> Json:
    spec = {kind: [{"name": name, "image": "i"}] for kind, name in zip(PLACES, ("c", "i"), strict=True)}
    return {"metadata": {"name": "p"}, "spec": spec}


def single_pods() -> Iterator[Json]:
    """Each value of each field by itself."""
    for annotations in ANNOTATIONS:
        pod = plain_pod()
        pod["metadata"]["annotations"] = annotations
        yield pod
    for field, value in _each(SPEC):
        pod = plain_pod()
        pod["spec"][field] = value
        yield pod
    for field, value in _each(OF_POD):
        pod = plain_pod()
        pod["spec"]["securityContext"] = {field: value}
        yield pod
    for place in PLACES:
        for field, value in _each(CONTAINER):
            pod = plain_pod()
            pod["spec"][place][0][field] = value
            yield pod
        for field, value in _each(OF_CONTAINER):
            pod = plain_pod()
            pod["spec"][place][0]["securityContext"] = {field: value}
            yield pod


def random_pod(chance: random.Random) -> Json:
    """A few fields at once."""
    pod = plain_pod()
    spec = pod["spec"]
    for _ in range(chance.randint(1, 4)):
        owner, fields = chance.choice(
            [
                (spec, SPEC),
                (spec.setdefault("securityContext", {}), OF_POD),
                *((spec[place][0], CONTAINER) for place in PLACES),
                *((spec[place][0].setdefault("securityContext", {}), OF_CONTAINER) for place in PLACES),
                (pod["metadata"], {"annotations": ANNOTATIONS}),
            ]
        )
        field = chance.choice(sorted(fields))
        owner[field] = copy.deepcopy(chance.choice(fields[field]))
    return pod


def _each(fields: dict[str, list[Any]]) -> Iterator[tuple[str, Any]]:
    for field, values in fields.items():
        for value in values:
            yield field, copy.deepcopy(value)
