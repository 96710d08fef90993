"""A cluster that enforces NetworkPolicies, once with addresses of IPv4 and once of IPv6, with the chart installed as on anyone's."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.cluster import SECONDS, ClusterRuns
from support.kube import Kube
from support.outside import EXAMPLES as EXAMPLE_FOLDERS
from support.reach import Inside, Target, prober
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.addresses import Family
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of a family waits for its cluster, and for images where none are built yet."""
    for item in items:
        item.add_marker(pytest.mark.timeout(3600))


@dataclass(frozen=True, kw_only=True)
class Site:
    """One installation, and where one can stand to look at it."""

    kubectl: Kubectl
    family: Family
    metadata: Target
    """What a cloud would answer its machines at."""
    public: Target
    """What stands for the internet."""

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

    def address(self, namespace: str, name: str) -> str:
        """Of a pod."""
        return str(Kube(self.kubectl.kubeconfig, namespace=namespace).get("pods", name)["status"]["podIP"])

    @property
    def targets(self) -> dict[str, Target]:
        """The release's listeners, the apiserver, a stranger, and the metadata of a cloud."""
        addresses = {part: self.pod(part)["status"]["podIP"] for part, _ in LISTENERS.values()}
        kubernetes = self.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
        return {
            **{name: (addresses[part], port) for name, (part, port) in LISTENERS.items()},
            "apiserver": (kubernetes, 443),
            "a stranger": (self.address(STRANGERS, "server"), 8000),
            "metadata": self.metadata,
        }

    def upgrade(self, *values: str) -> None:
        """Change values of the release, given as KEY=JSON."""
        chart = Path(__file__).resolve().parents[2] / "helm/tidegate"
        wanted = [f"--set-json={value}" for value in values]
        self.kubectl.helm("upgrade", install.RELEASE, chart, f"--namespace={NAMESPACE}", "--reuse-values", *wanted)
        install.wait_ready(self.kubectl)

    def runs(self, namespace: str) -> ClusterRuns:
        """The runs of a project."""
        return ClusterRuns(self.kubectl, namespace)


@pytest.fixture(scope="session", params=["ipv4", "ipv6"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The installation, with pods of strangers, of a monitor and of a cloud about it."""
    family: Family = request.param
    found = Clusters(settings=settings.from_environment())
    kept = os.environ.get("TIDEGATE_TEST_CLUSTER")
    name = f"{kept or 'network'}-{family}"
    if not kept:
        found.down(name)
    try:
        kubectl = install.up(
            found,
            name,
            project=CLOSED,
            options=Options(family=family, network_policies=True),
            values=[f"networkPolicy.tasks.namespaces[0]={CLOSED}", "networkPolicy.enabled=true"],
        )
        if kept:
            for namespace in (CLOSED, OPEN):
                Kube(kubectl.kubeconfig, namespace=namespace).delete_all("taskruns.tidegate.dev")
        settle(kubectl)
        node = Machine(name=CONTROL_NODE, directory=Store(found.settings).node_directory(name, CONTROL_NODE))
        _listen(node, METADATA[family], PUBLIC[family])
        yield Site(
            kubectl=kubectl,
            family=family,
            metadata=(METADATA[family], 80),
            public=(PUBLIC[family], 80),
        )
    finally:
        if not kept:
            found.down(name)


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
        node.run("ip", "addr", "replace", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
    if not node.running("python3"):
        node.start("python3", "-c", _LISTENERS, *addresses)
