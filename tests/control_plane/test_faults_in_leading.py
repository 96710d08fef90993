"""Writes that outlive the lead of who made them, and installations that aren't what they should be."""

import os
import signal
from pathlib import Path

import yaml
from support.builders import a_queue, a_run
from support.faults import QUICK_LEASE, end, held, live_pods
from support.kube import NO_ANSWER, Kube
from support.operator import CRDS, OperatorProcess, Runs, install_crds, wait_served
from support.proxy import FaultyProxy
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

WRITES = ("create", "patch", "update", "delete")


def test_writes_held_back_over_a_fail_over_change_nothing(
    plane: ControlPlane, runs: Runs, proxy: FaultyProxy, tmp_path: Path
) -> None:
    runs.create(a_queue("stale", concurrencyLimit=2))
    with OperatorProcess(proxy, log=tmp_path / "first.log", identity="first", **QUICK_LEASE) as first:
        first.wait_leading()
        second = OperatorProcess(plane, actor="second", log=tmp_path / "second.log", identity="second", **QUICK_LEASE)
        with (
            second,
            proxy.on(method="PATCH", path="/taskruns/stale-1/status$").hold() as patch,
            proxy.on(method="POST", path="/jobs$", body='"stale-2').hold() as post,
        ):
            runs.create(held("stale-1", queue="stale").built)
            patch.wait_hits()
            runs.create(held("stale-2", queue="stale").built)
            post.wait_hits()
            os.kill(first.pid, signal.SIGSTOP)
            try:
                second.wait_leading()
                for name in ("stale-3", "stale-4"):
                    runs.create(held(name, queue="stale").built)
                end(runs, "stale-1")
                ended = runs.wait("stale-1", "Succeeded")
                runs.wait("stale-2", "Running")
                wait_until(lambda: len(live_pods(runs, "tidegate.dev/queue=stale")) == 2, what="two pods")
                before = len([e for e in plane.requests("operator") if e.verb in WRITES and e.code < 300])
                patch.release().wait_done()
                post.release().wait_done()
            finally:
                os.kill(first.pid, signal.SIGCONT)
            wait_until(lambda: first.exit_code is not None, what="the old leader to end")
            assert first.exit_code == 1
            assert runs.get("stale-1")["status"] == ended
            assert len(runs.jobs("stale-2")) == 1
            assert len(live_pods(runs, "tidegate.dev/queue=stale")) == 2
            assert len([e for e in plane.requests("operator") if e.verb in WRITES and e.code < 300]) == before
            for name in ("stale-2", "stale-3", "stale-4"):
                runs.patch_spec(name, cancel=True)
                runs.wait(name, "Cancelled")


def test_an_answer_about_the_lease_that_never_comes_does_not_cost_the_lead(
    runs: Runs, proxy: FaultyProxy, tmp_path: Path
) -> None:
    with OperatorProcess(proxy, log=tmp_path / "log", **QUICK_LEASE) as operator:
        operator.wait_leading()
        with (
            proxy.on(method="GET", path="/leases/").hold().times(1) as rule,
            proxy.on(method="GET", path="/leases/") as next_ones,
        ):
            rule.wait_hits()
            next_ones.wait_done(seconds=10)
            runs.create(a_run("lease-held").built)
            runs.wait("lease-held", "Succeeded")
        assert operator.exit_code is None


def test_an_installation_for_some_namespaces_sees_only_those(
    plane: ControlPlane, kube: Kube, proxy: FaultyProxy, tmp_path: Path
) -> None:
    spaces = {namespace: kube.create_namespace(namespace) for namespace in ("mine", "mine-too", "not-mine")}
    for namespace, space in spaces.items():
        for name in ("plain", "held"):
            run = a_run(name).pod(**({"hold": "1"} if name == "held" else {})).namespace(namespace)
            space.create(run.built)
    # Nothing may be decided before the pods of all its namespaces are listed.
    query = {"fieldSelector": "status.phase!=Pending"}
    with proxy.on(method="GET", path="/namespaces/mine-too/pods$", watch=False, query=query).hold() as pods:
        operator = OperatorProcess(proxy, log=tmp_path / "log", namespaces="mine,mine-too", **QUICK_LEASE).start()
        try:
            pods.wait_hits()
            proxy.wait_watched("pods")
            proxy.wait_watched("taskruns")
            assert spaces["mine"].listed("jobs") == []
            pods.release()
            for namespace in ("mine", "mine-too"):
                for name, phase in (("plain", "Succeeded"), ("held", "Running")):
                    spaces[namespace].wait_phase(name, phase)
            # A new list of the one's pods says nothing about the other's.
            before = len([e for e in plane.requests("operator") if e.namespace == "mine-too" and e.verb in WRITES])
            with proxy.on(method="GET", path="/namespaces/mine/pods$", watch=False) as lists:
                proxy.gone("pods")
                lists.wait_done()
            for namespace in ("mine", "mine-too"):
                spaces[namespace].patch("taskruns.tidegate.dev", "held", {"spec": {"cancel": True}})
                spaces[namespace].wait_condition("taskruns.tidegate.dev", "held", "Finished")
            writes = [e for e in plane.requests("operator") if e.namespace == "mine-too" and e.verb in WRITES]
            assert [e.what for e in writes[before:]] == ["patch pods", "patch taskruns/status", "patch taskruns/status"]
            asked = {e.namespace for e in plane.requests("operator") if e.resource in ("taskruns", "pods", "jobs")}
            assert "not-mine" not in asked
            assert spaces["not-mine"].listed("jobs") == []
        finally:
            operator.stop()


def test_an_older_crd_is_reported_by_its_missing_field_until_it_is_upgraded(tmp_path: Path) -> None:
    with ControlPlane(actors=("admin", "operator")) as bare:
        install_crds(bare)
        field = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/disruptions"
        kube = Kube(bare.kubeconfig())
        kube.patch("customresourcedefinitions", "taskruns.tidegate.dev", [{"op": "remove", "path": field}])
        operator = OperatorProcess(bare, log=tmp_path / "log", **QUICK_LEASE)
        wait_until(lambda: is_older(served(kube)), what="the older CRD to be served")
        operator.start()
        try:
            wait_until(lambda: operator.page("readyz")[0] == 503, what="an answer")
            wait_until(lambda: "status.disruptions" in operator.page("readyz")[1], what="the field's name")
            assert "taskruns" in operator.page("readyz")[1]
            assert operator.page("healthz") == (200, "ok\n")
            kube.apply(yaml.safe_load((CRDS / "taskruns.yaml").read_text()))
            wait_served(bare)
            operator.wait_ready()
        finally:
            assert operator.stop() == 0


def is_older(served: str) -> bool:
    return "observedGeneration" in served and "disruptions" not in served


def served(kube: Kube) -> str:
    """What the apiserver says of our kinds, nothing while it doesn't know them yet."""
    try:
        return kube.raw("/openapi/v3/apis/tidegate.dev/v1alpha1")
    except NO_ANSWER:
        return ""
