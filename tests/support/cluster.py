"""A real cluster with the chart installed: its runs, its pods, and ways into its services."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError
from tidegate_demo import install
from tidegate_demo.kubectl import Kubectl
from tidegate_web.cluster.client import Cluster

from support.builders import RunBuilder
from support.operator import Runs
from support.servers import wait_until

Json = dict[str, Any]
CHECKOUT = Path(__file__).resolve().parents[2]
CHART = CHECKOUT / "helm/tidegate"
NAME = "tests"
CLUSTER = os.environ.get("TIDEGATE_TEST_CLUSTER") or NAME
PROJECT = "work"
SECONDS = 120.0
"""How long anything may take here before it counts as never: the machine may be slow and busy."""


class ClusterRuns(Runs):
    """TaskRuns of one namespace, with Jobs and pods that are real."""

    patience = SECONDS

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        super().__init__(self, Cluster.connect(Path(kubectl.environment["KUBECONFIG"])), namespace=namespace)

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
        return self.kubectl("logs", pod)

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
        """As above; another end than the one that is waited for is told at once."""
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

    def told(self, name: str, text: str) -> None:
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
        kubectl("-n", PROJECT, "delete", "taskruns.tidegate.dev", "--all")
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


@contextmanager
def forwarded(kubectl: Kubectl, target: str, port: int = 80) -> Iterator[str]:
    """The address of a service or pod of the release, on a free port here."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            kubectl.command("-n", install.NAMESPACE, "port-forward", target, f":{port}"),
            env=dict(kubectl.environment),
            stdout=output,
            stderr=output,
        )
        told: list[str] = []

        def ready() -> bool:
            output.seek(0)
            text = output.read().decode()
            if process.poll() is not None:
                raise AssertionError(f"port-forward {target} ended: {text}")
            told[:] = re.findall(r"Forwarding from (127\.0\.0\.1:\d+)", text)
            return bool(told)

        try:
            wait_until(ready, seconds=SECONDS, what=f"port-forward {target}")
            yield f"http://{told[0]}"
        finally:
            process.terminate()
            process.wait()


def refusal(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl says when it fails, as it should."""
    try:
        said = kubectl(*arguments, stdin=stdin)
    except ClusterError as error:
        return str(error)
    raise AssertionError(f"not refused: {said}")
