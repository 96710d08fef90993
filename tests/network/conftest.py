"""Clusters that enforce NetworkPolicies, with addresses of IPv4, of IPv6 or of both, with the chart installed as on anyone's."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.builders import EXAMPLES, a_run
from support.cluster import SECONDS, ClusterRuns
from support.kube import Kube
from support.outside import EXAMPLES as EXAMPLE_FOLDERS
from support.reach import Inside, Target, prober
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.addresses import FAMILIES, Family, Stack
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.machine import Machine
from tidegate_cluster.records import CONTROL_NODE, Options, Store
from tidegate_demo import install
from tidegate_demo.install import NAMESPACE
from tidegate_demo.kubectl import Kubectl

Json = dict[str, Any]
CLOSED = "work"
"""A project whose tasks reach DNS and Tidegate alone."""
OPEN = "open"
"""A project for which nothing was asked."""
STRANGERS = "strangers"
MONITORING = "monitoring"
METADATA: dict[Family, str] = {"ipv4": "169.254.169.254", "ipv6": "fd00:ec2::254"}
PUBLIC: dict[Family, str] = {"ipv4": "203.0.113.7", "ipv6": "2001:db8::7"}
"""Addresses of documentation networks (RFC 5737, RFC 3849), which no router forwards."""
_LISTENERS = """
import socket, sys, threading
def serve(listener):
    while True:
        listener.accept()[0].close()
listeners = [
    socket.create_server((address, 80), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    for address in sys.argv[1:]
]
for listener in listeners:
    threading.Thread(target=serve, args=(listener,)).start()
"""
LISTENERS = {
    "operator metrics": ("operator", 8080),
    "why": ("operator", 8081),
    "dispatch": ("operator", 8443),
    "web": ("web", 8080),
    "internal": ("web", 8081),
    "web metrics": ("web", 9090),
    "live": ("live", 8080),
    "live metrics": ("live", 9090),
    "mirror metrics": ("mirror", 9090),
    "postgres": ("postgres", 5432),
    "redis": ("redis", 6379),
}
"""All that the release listens on: by part, and the port of its container."""
METRICS = frozenset(name for name in LISTENERS if name.endswith("metrics"))
PEOPLE = frozenset({"web", "live"})
OUTSIDE = frozenset({"apiserver", "a stranger", "metadata"})
_STORES = frozenset({"postgres", "redis", "apiserver"})
NEEDED = {
    "operator": frozenset({"apiserver"}),
    # Anyone's address of the web app may be asked for by a pod that may connect to anything, which these may not.
    "web": _STORES | {"why"},
    "live": _STORES,
    "mirror": _STORES,
}
"""What a part connects to."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of a family waits for its cluster, and for images where none are built yet."""
    for item in items:
        item.add_marker(pytest.mark.timeout(3600))


@dataclass(frozen=True, kw_only=True)
class Site:
    """One installation, and where one can stand to look at it."""

    kubectl: Kubectl
    stack: Stack

    @property
    def families(self) -> Sequence[Family]:
        """Of the addresses that nodes and pods have."""
        return FAMILIES[self.stack]

    @property
    def public(self) -> Target:
        """What stands for the internet."""
        return PUBLIC[self.families[0]], 80

    def pod(self, component: str) -> Json:
        """The one live pod of a part of the release."""
        found = Kube(self.kubectl.kubeconfig, namespace=NAMESPACE).listed(
            "pods", f"app.kubernetes.io/component={component}", fields="status.phase=Running"
        )
        (pod,) = [each for each in found if "deletionTimestamp" not in each["metadata"]]
        return dict(pod)

    def inside(self, component: str, *, has_python: bool = True) -> Inside:
        """Within a part of the release."""
        name = self.pod(component)["metadata"]["name"]
        return Inside(kubectl=self.kubectl, namespace=NAMESPACE, pod=name, container=component, has_python=has_python)

    def within(self, namespace: str, name: str = "prober", container: str = "main") -> Inside:
        """Within a pod of anyone's."""
        return Inside(kubectl=self.kubectl, namespace=namespace, pod=name, container=container)

    @property
    def targets(self) -> dict[str, Target]:
        """The release's listeners, the apiserver, a stranger, and the metadata of a cloud."""
        return self.targets_by(self.families[0])

    def targets_by(self, family: Family) -> dict[str, Target]:
        """The same by the addresses of a family."""
        addresses = {part: address_of(self.pod(part), family) for part in {part for part, _ in LISTENERS.values()}}
        stranger = Kube(self.kubectl.kubeconfig, namespace=STRANGERS).get("pods", "server")
        return {
            **{name: (addresses[part], port) for name, (part, port) in LISTENERS.items()},
            "apiserver": self._apiserver(family),
            "a stranger": (address_of(stranger, family), 8000),
            "metadata": (METADATA[family], 80),
        }

    def _apiserver(self, family: Family) -> Target:
        # Its own Service has the first family alone, whatever the cluster has. By the other it is reached at its node.
        if family == self.families[0]:
            return str(Kube(self.kubectl.kubeconfig).get("services", "kubernetes")["spec"]["clusterIP"]), 443
        return self.node(family), 6443

    def node(self, family: Family) -> str:
        """The address of the node, which has the cluster's DNS at port 53."""
        addresses = Kube(self.kubectl.kubeconfig).get("nodes", CONTROL_NODE)["status"]["addresses"]
        internal = [str(each["address"]) for each in addresses if each["type"] == "InternalIP"]
        return next(each for each in internal if family_of(each) == family)

    def upgrade(self, *values: str) -> None:
        """Change values of the release, given as KEY=JSON."""
        chart = Path(__file__).resolve().parents[2] / "helm/tidegate"
        wanted = [f"--set-json={value}" for value in values]
        self.kubectl.helm("upgrade", install.RELEASE, chart, f"--namespace={NAMESPACE}", "--reuse-values", *wanted)
        install.wait_ready(self.kubectl)

    def runs(self, namespace: str) -> ClusterRuns:
        """The runs of a project."""
        return ClusterRuns(self.kubectl, namespace)


def family_of(address: str) -> Family:
    """Which one an address is of."""
    return "ipv6" if ":" in address else "ipv4"


def address_of(pod: Json, family: Family) -> str:
    """The one address of a family that a pod has."""
    (found,) = [each["ip"] for each in pod["status"]["podIPs"] if family_of(each["ip"]) == family]
    return str(found)


@pytest.fixture(scope="session", params=["ipv4", "ipv6"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The installation where all has addresses of one family."""
    with installed(request.param) as one:
        yield one


@contextmanager
def installed(stack: Stack, *values: str) -> Iterator[Site]:
    """A cluster with the release, and with pods of strangers, of a monitor and of a cloud about it. `values`: more of the chart."""
    found = Clusters(settings=settings.from_environment())
    kept = os.environ.get("TIDEGATE_TEST_CLUSTER")
    name = f"{kept or 'network'}-{stack}"
    if not kept:
        found.down(name)
    try:
        kubectl = install.up(
            found,
            name,
            project=CLOSED,
            options=Options(family=stack, network_policies=True),
            values=[f"networkPolicy.tasks.namespaces[0]={CLOSED}", "networkPolicy.enabled=true", *values],
        )
        if kept:
            for namespace in (CLOSED, OPEN):
                Kube(kubectl.kubeconfig, namespace=namespace).delete_all("taskruns.tidegate.dev")
        settle(kubectl)
        node = Machine(name=CONTROL_NODE, directory=Store(found.settings).node_directory(name, CONTROL_NODE))
        _listen(node, *(address[family] for address in (METADATA, PUBLIC) for family in FAMILIES[stack]))
        yield Site(kubectl=kubectl, stack=stack)
    finally:
        if not kept:
            found.down(name)


def of_a_run(site: Site, namespace: str) -> Inside:
    """Within the pod of a run that goes on."""
    runs = site.runs(namespace)
    if not [run for run in runs.listed("taskruns.tidegate.dev") if run["metadata"]["name"] == "lasting"]:
        runs.start(a_run("lasting").task(image=EXAMPLES, command=["sleep", "100000"]))
    runs.wait("lasting", "Running")
    (pod,) = runs.pods("lasting")
    return site.within(namespace, pod["metadata"]["name"], "task")


def of_a_worker(site: Site, namespace: str) -> Inside:
    """Within the pod of a pool."""
    runs = site.runs(namespace)
    wait_until(
        lambda: runs.get("moods", kind="workerpools.tidegate.dev").get("status", {}).get("slots") == 2,
        seconds=SECONDS,
        what=f"the pool of {namespace}",
    )
    (pod,) = runs.listed("pods", "tidegate.dev/pool=moods")
    return site.within(namespace, pod["metadata"]["name"], "worker")


def settle(kubectl: Kubectl) -> None:
    """Namespaces and pods around the release, and a pool in each project."""
    everyone = {
        OPEN: {"tidegate.dev/project": "true"},
        STRANGERS: {},
        MONITORING: {"tidegate.dev/metrics": "true"},
    }
    for namespace, labels in everyone.items():
        text = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
        kubectl("apply", "-f", "-", stdin=text)
    pods = [prober("prober", namespace=each) for each in (STRANGERS, MONITORING, NAMESPACE)]
    pods.append(prober("server", namespace=STRANGERS, serves=8000))
    for pod in pods:
        # The namespace's account comes a moment after it.
        wait_until(partial(_is_taken, kubectl, pod), seconds=SECONDS, what=f"pod {pod['metadata']['name']}")
    for namespace in (CLOSED, OPEN):
        kubectl("-n", namespace, "apply", "-f", str(EXAMPLE_FOLDERS / "mood"))
    for pod in pods:
        where = ("-n", pod["metadata"]["namespace"], f"pod/{pod['metadata']['name']}")
        kubectl("wait", *where, "--for=condition=Ready", f"--timeout={SECONDS:.0f}s")


def _is_taken(kubectl: Kubectl, pod: Json) -> bool:
    kube = Kube(kubectl.kubeconfig, namespace=pod["metadata"]["namespace"])
    if kube.find("serviceaccounts", "default") is None:
        return False
    if kube.find("pods", pod["metadata"]["name"]) is None:
        kube.create(pod)
    return True


def _listen(node: Machine, *addresses: str) -> None:
    """Let something listen at addresses which lead to the node itself."""
    for address in addresses:
        length = {"ipv4": 32, "ipv6": 128}[family_of(address)]
        node.run("ip", "addr", "replace", f"{address}/{length}", "dev", "lo")
    if not node.running("python3"):
        node.start("python3", "-c", _LISTENERS, *addresses)
