"""A cluster with the chart, two operators, and a recorder of what runs in pools do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import EXAMPLES
from support.cluster import CHART, SECONDS, ClusterRuns, installed_cluster, project_runs
from support.kube import Kube
from support.recorded import Recorder
from tidegate_demo.install import NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def kubectl() -> Iterator[Kubectl]:
    with installed_cluster() as made:
        options = ("--reuse-values", f"--namespace={NAMESPACE}", "--set=operator.replicas=2")
        made.helm("upgrade", RELEASE, CHART, *options)
        wait_ready(made)
        yield made


@pytest.fixture(scope="session")
def release(kubectl: Kubectl) -> Kube:
    """The namespace of the release."""
    return Kube(kubectl.kubeconfig, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def runs(kubectl: Kubectl) -> ClusterRuns:
    return project_runs(kubectl)


@pytest.fixture(scope="session")
def recorder(kubectl: Kubectl, runs: ClusterRuns) -> Recorder:
    """The recorder, and the module of tasks in a ConfigMap."""
    code = {"marked.py": (FOLDER / "marked.py").read_text(encoding="utf-8")}
    marked = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "marked"}, "data": code}
    runs.kubectl("apply", "-f", "-", stdin=json.dumps(marked))
    container = {
        "name": "recorder",
        "image": EXAMPLES,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", (FOLDER / "recorder.py").read_text(encoding="utf-8")],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "recorder"}, "spec": {"containers": [container]}}
    # Where no Pod Security is asked for.
    kubectl("-n", "default", "apply", "-f", "-", stdin=json.dumps(pod))
    kubectl("-n", "default", "wait", "pod/recorder", "--for=condition=Ready", f"--timeout={SECONDS:.0f}s")
    return Recorder(Kube(kubectl.kubeconfig, namespace="default"))
