"""What a run costs the apiserver: counted from its audit log."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import a_queue, a_run
from support.kube import Kube
from support.operator import OperatorProcess
from tidegate_cluster.control_plane import ControlPlane

USED = '{"tidegate.dev/usage":{"cpuMilliseconds":1200,"memoryPeakBytes":4096}}\n'
"""What the runner leaves before a result."""


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator with its own idea of when a pod is late, as it is installed."""
    with OperatorProcess(plane, log=Path(tmp_path_factory.mktemp("operator")) / "log", look_seconds="5") as made:
        yield made.wait_leading()


def test_a_happy_run_costs_one_post_and_at_most_two_patches(plane: ControlPlane, kube: Kube) -> None:
    budget = kube.create_namespace("budget")  # what other tests' runs cost is counted elsewhere
    schema = {"properties": {"a": {"type": "string"}}}  # checking a payload asks the apiserver nothing
    said = {
        "metadata": {"annotations": {"fake.tidegate.dev/message": USED}}
    }  # and usage is in the write that ends a run
    manifests = [a_run(f"budget-{i:02}").task(payloadSchema=schema, podTemplate=said).built for i in range(20)]
    for manifest in manifests:
        manifest["metadata"]["namespace"] = "budget"
    budget.create_all(manifests)
    for manifest in manifests:
        budget.wait_condition("taskruns.tidegate.dev", manifest["metadata"]["name"], "Succeeded")
    spent = Counter(e.what for e in plane.requests("operator") if e.namespace == "budget")
    assert spent.keys() == {"create jobs", "patch taskruns/status"}
    assert spent["create jobs"] == 20
    assert spent["patch taskruns/status"] <= 40
    (attempt,) = budget.get("taskruns.tidegate.dev", "budget-07")["status"]["attempts"]
    assert attempt["usage"] == {"cpuMilliseconds": 1200, "memoryPeakBytes": 4096}


def test_a_run_that_waited_costs_no_read_either(plane: ControlPlane, kube: Kube) -> None:
    line = kube.create_namespace("budget-line")
    queue = a_queue("line", concurrencyLimit=2)
    queue["metadata"]["namespace"] = "budget-line"
    runs = [a_run(f"line-{i:02}").namespace("budget-line").spec(queue="line").built for i in range(10)]
    line.create_all([queue, *runs])
    for run in runs:
        line.wait_condition("taskruns.tidegate.dev", run["metadata"]["name"], "Succeeded")
    spent = Counter(e.what for e in plane.requests("operator") if e.namespace == "budget-line")
    del spent["patch queues/status"]
    assert spent.keys() == {"create jobs", "patch taskruns/status"}
    assert spent["create jobs"] == 10
    assert spent["patch taskruns/status"] <= 30  # one more for those that have waited for a second


def test_a_queues_status_is_written_at_most_once_a_second(plane: ControlPlane, kube: Kube) -> None:
    busy = kube.create_namespace("busy")
    queue = a_queue("busy", concurrencyLimit=3)
    queue["metadata"]["namespace"] = "busy"
    runs = [a_run(f"busy-{i:02}").namespace("busy").pod(duration="1s").spec(queue="busy").built for i in range(15)]
    began = time.monotonic()
    busy.create_all([queue, *runs])
    for run in runs:
        busy.wait_condition("taskruns.tidegate.dev", run["metadata"]["name"], "Succeeded")
    spent = Counter(e.what for e in plane.requests("operator") if e.namespace == "busy")
    assert 2 <= spent["patch queues/status"] <= time.monotonic() - began + 1
