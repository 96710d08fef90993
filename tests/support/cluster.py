"""A real cluster with the chart installed: its runs, its pods, and ways into its services."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError
from tidegate_demo import install
from tidegate_demo.kubectl import Kubectl

from support.builders import RunBuilder
from support.kube import Kube
from support.operator import Runs
from support.servers import free_port, wait_until

Json = dict[str, Any]
CHECKOUT = Path(__file__).resolve().parents[2]
CHART = CHECKOUT / "helm/tidegate"
NAME = "tests"
CLUSTER = os.environ.get("TIDEGATE_TEST_CLUSTER") or NAME
PROJECT = "work"
SECONDS = 240.0
"""How long anything may take here before it counts as never: the machine may be slow and busy."""


class ClusterRuns(Runs):
    """TaskRuns of one namespace, with Jobs and pods that are real."""

    patience = SECONDS

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        super().__init__(Kube(kubectl.kubeconfig, namespace=namespace))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in the namespace."""
        return self._kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def start(self, run: RunBuilder) -> Json:
        """Create a run here."""
        return self.create(run.namespace(self.namespace).built)

    def end(self, run: RunBuilder, *phases: str, reason: str | None = None) -> Json:
        """Create a run and wait for its end; the status."""
        name: str = self.start(run)["metadata"]["name"]
        return self.wait(name, *phases, reason=reason)

    def pods(self, run: str) -> list[Json]:
        """The pods of a run, oldest first."""
        found = self.listed("pods", f"tidegate.dev/run={run}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def log(self, pod: str) -> str:
        """What a pod has written."""
        return self.kube.log(pod)

    def written(self, run: str, text: str) -> None:
        """Wait until a pod of the run has written `text`."""

        def there() -> bool:
            return any(
                text in self.log(pod["metadata"]["name"])
                for pod in self.pods(run)
                if pod["status"].get("containerStatuses", [{"state": {}}])[0]["state"].keys() - {"waiting"}
            )

        wait_until(there, seconds=self.patience, what=f"{text!r} in the log of {run}")

    def wait(self, name: str, *phases: str, reason: str | None = None, seconds: float | None = None) -> Json:
        """As above; another end than the one that is waited for is reported at once."""
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.get(name)["status"])
            over = any(c["type"] == "Finished" and c["status"] == "True" for c in seen.get("conditions", []))
            return over or (seen["phase"] in phases and reason in (None, seen.get("reason")))

        wait_until(there, seconds=seconds or self.patience, what=f"{name} {' or '.join(phases)} {reason or ''}")
        assert seen["phase"] in phases, seen
        assert reason in (None, seen.get("reason")), seen
        return seen

    def reported(self, name: str, text: str) -> None:
        """Wait until the run's message has `text`."""
        wait_until(
            lambda: text in self.get(name)["status"].get("message", ""), seconds=self.patience, what=f"{text} of {name}"
        )

    def cancel(self, name: str) -> None:
        """Ask for a run's end."""
        self.patch_spec(name, cancel=True)


@contextmanager
def installed_cluster() -> Iterator[Kubectl]:
    """A fresh cluster with Tidegate in it, taken away however the tests end.

    With TIDEGATE_TEST_CLUSTER=NAME, for work on the tests: a cluster of that name, which is made if need be and kept.
    """
    found = Clusters(settings=settings.from_environment())
    if kept := os.environ.get("TIDEGATE_TEST_CLUSTER"):
        kubectl = install.up(found, kept, project=PROJECT)
        Kube(kubectl.kubeconfig, namespace=PROJECT).delete_all("taskruns.tidegate.dev")
        yield kubectl
        return
    with _guard():
        yield install.up(found, NAME, project=PROJECT)


@contextmanager
def _guard() -> Iterator[None]:
    search = os.pathsep.join(str(CHECKOUT / folder) for folder in ("tests", "cluster"))
    guard = subprocess.Popen(
        [sys.executable, "-m", "support.guard", NAME],
        env={**os.environ, "PYTHONPATH": search},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not meant for it
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        assert guard.stdout.readline() == b"ready\n", "what an earlier run has left can't be taken away"
        yield
    finally:
        guard.stdin.close()
        guard.wait()
        guard.stdout.close()


class PortForward(threading.Thread):
    """`kubectl port-forward`, started again as often as it ends: it ends with the pod that it has chosen."""

    def __init__(self, kubectl: Kubectl, target: str, *, port: int) -> None:
        super().__init__(name=f"port-forward {target}", daemon=True)
        self.local = free_port()
        where = ("-n", install.NAMESPACE, "port-forward", target, f"{self.local}:{port}")
        self._command = kubectl.command(*where)
        # A WebSocket whose ping was late once fails for good, and leaves a port open that answers nothing; SPDY goes on.
        self._environment = {**kubectl.environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
        self._ended = threading.Event()
        self.said = ""

    def run(self) -> None:
        while not self._ended.is_set():
            with tempfile.TemporaryFile() as output:
                process = subprocess.Popen(self._command, env=self._environment, stdout=output, stderr=output)
                while process.poll() is None and not self._ended.wait(0.1):
                    pass
                process.terminate()
                process.wait()
                output.seek(0)
                self.said = output.read().decode()

    @property
    def is_open(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.local)) == 0

    def end(self) -> None:
        """Return when its process is gone."""
        self._ended.set()
        self.join()


@contextmanager
def forwarded(kubectl: Kubectl, target: str, port: int = 80) -> Iterator[str]:
    """The address of a service or pod of the release, on a free port here."""
    forward = PortForward(kubectl, target, port=port)
    forward.start()
    try:
        wait_until(lambda: forward.is_open, seconds=SECONDS, what=f"port-forward {target}: {forward.said}")
        yield f"http://127.0.0.1:{forward.local}"
    finally:
        forward.end()


def project_runs(kubectl: Kubectl) -> ClusterRuns:
    """The runs of the project, in which the web app and the mirror have their rights: what a pod reports before is refused."""
    runs = ClusterRuns(kubectl, PROJECT)
    selector = "app.kubernetes.io/managed-by=tidegate"
    wait_until(
        lambda: len(runs.listed("rolebindings", selector)) == 2, seconds=SECONDS, what="the rights in the project"
    )
    return runs


def leader(release: Kube) -> str:
    """Who leads, as the operator's Lease says it; empty where none does."""
    lease = release.get("leases", f"{install.RELEASE}-operator")
    return str(lease["spec"].get("holderIdentity") or "")


def leading_pod(release: Kube) -> str:
    """The pod of that operator, whose name its identity begins with; empty where there is none."""
    holder = leader(release)
    return next((name for name in release.names("pods") if holder.startswith(f"{name}-")), "")


def refusal(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl says when it fails, as it should."""
    try:
        said = kubectl(*arguments, stdin=stdin)
    except ClusterError as error:
        return str(error)
    raise AssertionError(f"not refused: {said}")
