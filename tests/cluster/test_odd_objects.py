"""The worst of odd objects beside sound runs, with operator and mirror restarted."""

import json
from collections.abc import Iterator

import pytest
import yaml
from support.builders import a_queue, a_run
from support.cluster import SECONDS, ClusterRuns
from support.kube import Kube
from support.odd.values import without_bounds
from support.operator import CRDS
from support.servers import wait_until
from tidegate_demo.install import wait_ready
from tidegate_demo.kubectl import Kubectl

ODD = "odd"
BESIDE = "beside"


@pytest.fixture
def stored_before_bounds(release: Kube) -> Iterator[None]:
    """Objects may be created as they could before the CRDs had bounds."""
    crds = [yaml.safe_load((CRDS / f"{kind}.yaml").read_text(encoding="utf-8")) for kind in ("taskruns", "queues")]
    for crd in crds:
        release.replace({**crd, "spec": without_bounds(crd["spec"])})
    yield
    for crd in crds:
        release.replace(crd)


@pytest.fixture
def namespaces(kubectl: Kubectl, release: Kube) -> Iterator[tuple[ClusterRuns, ClusterRuns]]:
    """That of the odd objects, and another; both are projects."""
    for name in (ODD, BESIDE):
        release.create_namespace(name, {"tidegate.dev/project": "true"})
    yield ClusterRuns(kubectl, ODD), ClusterRuns(kubectl, BESIDE)
    for name in (ODD, BESIDE):
        release.delete("namespaces", name, wait=False)


def restart(kubectl: Kubectl, release: Kube, *components: str) -> None:
    for component in components:
        selector = f"app.kubernetes.io/component={component}"
        release.delete_all("pods", selector, grace=0)
    wait_ready(kubectl)


def sound_runs_end(beside: ClusterRuns, *, what: str) -> None:
    names = [f"{what}-{i}" for i in range(3)]
    for name in names:
        beside.start(a_run(name).shell("true"))
    for name in names:
        beside.wait(name, "Succeeded")


@pytest.mark.usefixtures("stored_before_bounds")
def test_the_worst_of_it_harms_no_run_of_another_namespace(
    kubectl: Kubectl, release: Kube, namespaces: tuple[ClusterRuns, ClusterRuns]
) -> None:
    odd, beside = namespaces
    odd.start(a_run("lowercase-z").shell("true").spec(startAfter="2026-11-26T12:00:00z"))
    odd.start(a_run("year-9999").shell("true").spec(startAfter="9999-12-31t23:59:59-23:59"))
    queue = a_queue("slow", rateLimit={"runs": 1, "perSeconds": 300_000_000_000})
    odd.create({**queue, "metadata": {"name": "slow", "namespace": ODD}})
    for name in ("first", "second"):
        odd.start(a_run(name).shell("true").spec(queue="slow", ttlSecondsAfterFinished=2**63 - 1))
    deep = json.dumps(a_run("deep").namespace(ODD).shell("true").spec(payload={"p": "@@"}).built)
    text = deep.replace('"@@"', '{"a":' * 1200 + '"x\\u0000y"' + "}" * 1200)
    odd.kube.create_text("taskruns.tidegate.dev", text)
    odd.start(a_run("edited").shell("trap 'exit 1' TERM; while :; do sleep 0.2; done").task(retry={"maxAttempts": 1}))
    odd.wait("edited", "Running")
    (job,) = odd.jobs("edited")
    odd.kube.annotate("jobs", job["metadata"]["name"], {"tidegate.dev/task-spec": "{"})
    odd.kube.label("jobs", job["metadata"]["name"], {"tidegate.dev/attempt": "x"})
    sound_runs_end(beside, what="at-once")
    restart(kubectl, release, "operator", "mirror")
    sound_runs_end(beside, what="restarted")
    odd.wait("lowercase-z", "Succeeded")
    odd.wait("first", "Succeeded")
    odd.wait("second", "Pending", reason="RateLimit")
    odd.wait("year-9999", "Pending", reason="Delayed")
    odd.cancel("edited")
    odd.wait("edited", "Cancelled")
    shown = {"Phase": "Failed", "Reason": "InvalidPayload"}
    wait_until(
        lambda: odd.kube.cells("taskruns.tidegate.dev", "deep").items() >= shown.items(), seconds=SECONDS, what="deep"
    )
