"""What the chart's NetworkPolicies close and leave open, on a cluster that enforces them.

All that is expected to be closed is found open in the end, once the policies are gone: so it is they that close it.
"""

from textwrap import dedent

from network.conftest import (
    CLOSED,
    LISTENERS,
    METRICS,
    MONITORING,
    NEEDED,
    OPEN,
    OUTSIDE,
    PEOPLE,
    STRANGERS,
    Site,
    of_a_run,
    of_a_worker,
)
from support.builders import EXAMPLES, a_run
from tidegate_demo.install import NAMESPACE, RELEASE

API = f"{RELEASE}-internal.{NAMESPACE}.svc"


def test_runs_and_pools_work_with_and_without_a_policy_of_their_own(site: Site) -> None:
    for namespace in (CLOSED, OPEN):
        runs = site.runs(namespace)
        assert runs.wait("letter", "Succeeded")["result"]["mood"] == "good"
        script = f"""
            import json, os, urllib.error, urllib.request
            try:
                urllib.request.urlopen("http://{API}/internal/v1/runs/none", timeout=10)
            except urllib.error.HTTPError as error:
                json.dump(error.code, open(os.environ["TIDEGATE_RESULT_FILE"], "w"))
        """
        asks = a_run("asks").task(image=EXAMPLES, command=["python", "-c", dedent(script)])
        assert runs.end(asks, "Succeeded")["result"] in (401, 404)


def test_helm_test_finds_every_part_up(site: Site) -> None:
    said = site.kubectl.helm("test", RELEASE, f"--namespace={NAMESPACE}", "--logs")
    assert "Succeeded" in said


def test_a_stranger_reaches_what_people_reach_and_no_more(site: Site) -> None:
    site.within(STRANGERS).expect(site.targets, open_=PEOPLE | OUTSIDE)


def test_another_pod_of_the_release_s_namespace_is_a_stranger(site: Site) -> None:
    site.within(NAMESPACE).expect(site.targets, open_=PEOPLE | OUTSIDE)


def test_metrics_are_for_the_namespace_of_the_monitor(site: Site) -> None:
    site.within(MONITORING).expect(site.targets, open_=PEOPLE | METRICS | OUTSIDE)


def test_a_part_connects_to_what_it_needs_and_to_nothing_else(site: Site) -> None:
    targets = site.targets
    for part, wanted in NEEDED.items():
        # A pod may connect to itself, whatever policies say.
        others = {name: target for name, target in targets.items() if LISTENERS.get(name, ("", 0))[0] != part}
        site.inside(part).expect(others, open_=wanted)


def test_stores_connect_to_nothing(site: Site) -> None:
    targets = site.targets
    for part in ("postgres", "redis"):
        site.inside(part, has_python=False).expect(
            {name: target for name, target in targets.items() if name != part}, open_=frozenset()
        )


def test_a_run_reaches_dns_and_tidegate_alone_where_that_is_asked_for(site: Site) -> None:
    run = of_a_run(site, CLOSED)
    run.expect(site.targets, open_=frozenset({"internal"}))
    assert run.resolves(API)


def test_a_run_elsewhere_reaches_the_outside_and_still_none_of_the_release_s_own(site: Site) -> None:
    run = of_a_run(site, OPEN)
    run.expect(site.targets, open_=PEOPLE | OUTSIDE | {"internal"})
    assert run.resolves(API)


def test_a_worker_reaches_the_dispatch_port_too(site: Site) -> None:
    of_a_worker(site, CLOSED).expect(site.targets, open_=frozenset({"internal", "dispatch"}))
    of_a_worker(site, OPEN).expect(site.targets, open_=PEOPLE | OUTSIDE | {"internal", "dispatch"})


def test_nobody_connects_to_a_run_where_that_is_asked_for(site: Site) -> None:
    serving = {
        namespace: a_run("serving").task(
            image=EXAMPLES, command=["python", "-m", "http.server", "8000", "--bind", "::"]
        )
        for namespace in (CLOSED, OPEN)
    }
    targets = {}
    for namespace, run in serving.items():
        runs = site.runs(namespace)
        runs.start(run)
        runs.wait("serving", "Running")
        (pod,) = runs.pods("serving")
        targets[namespace] = (pod["status"]["podIP"], 8000)
    site.within(STRANGERS).expect(targets, open_=frozenset({OPEN}))
    for namespace in serving:
        site.runs(namespace).kube.delete("taskruns.tidegate.dev", "serving")


def test_tasks_may_be_let_out_to_the_internet_without_what_is_inside(site: Site) -> None:
    run = of_a_run(site, CLOSED)
    outside = {"a public address": site.public, **site.targets}
    run.expect(outside, open_=frozenset({"internal"}))
    site.upgrade("networkPolicy.tasks.internet=true")
    run.expect(outside, open_=frozenset({"internal", "a public address"}))
    site.upgrade("networkPolicy.tasks.internet=false")


def test_without_the_policies_all_of_it_is_open(site: Site) -> None:
    site.upgrade("networkPolicy.enabled=false", "networkPolicy.tasks.namespaces=[]")
    everything = frozenset(site.targets)
    for one in (site.within(STRANGERS), site.within(NAMESPACE), of_a_run(site, CLOSED), of_a_worker(site, CLOSED)):
        one.expect(site.targets, open_=everything)
    for part in ("operator", "web", "live", "mirror"):
        site.inside(part).expect(site.targets, open_=everything)
    for part in ("postgres", "redis"):
        site.inside(part, has_python=False).expect(site.targets, open_=everything)
