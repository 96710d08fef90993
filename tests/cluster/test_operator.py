"""Runs go on whatever becomes of the operator's pods, and its rights suffice."""

import re
import time
from collections.abc import Iterator, Sequence

import pytest
from support.builders import a_run, a_schedule
from support.cluster import SECONDS, ClusterRuns, leader
from support.kube import Kube
from support.servers import wait_until
from tidegate_api.times import format_second
from tidegate_demo.install import NAMESPACE, wait_ready
from tidegate_demo.kubectl import Kubectl

DEPLOYMENT = "deployment/tidegate-operator"
COMPONENTS = ("operator", "web", "live", "mirror")


def pods_of(release: Kube, component: str) -> list[str]:
    found = release.listed("pods", f"app.kubernetes.io/component={component}")
    return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]


def started(runs: ClusterRuns, prefix: str) -> Sequence[str]:
    """Six runs, of which the last end many seconds after the first."""
    names = [f"{prefix}-{number}" for number in range(1, 7)]
    for number, name in enumerate(names, start=1):
        runs.start(a_run(name).shell(f'sleep {3 * number}; echo "\\"$TIDEGATE_RUN\\"" > $TIDEGATE_RESULT_FILE'))
    runs.wait(names[1], "Running", "Succeeded")
    return names


def all_succeed_with_one_job_each(runs: ClusterRuns, names: Sequence[str]) -> None:
    for name in names:
        status = runs.wait(name, "Succeeded")
        assert status["result"] == name
        assert [a["number"] for a in status["attempts"]] == [1]
        assert len(runs.jobs(name)) == 1
        assert len(runs.pods(name)) == 1


@pytest.fixture
def two_operators(kubectl: Kubectl) -> Iterator[None]:
    kubectl("-n", NAMESPACE, "scale", DEPLOYMENT, "--replicas=2")
    wait_ready(kubectl)
    yield
    kubectl("-n", NAMESPACE, "scale", DEPLOYMENT, "--replicas=1")
    wait_ready(kubectl)


def test_killing_the_operator_costs_time_and_nothing_else(release: Kube, runs: ClusterRuns) -> None:
    names = started(runs, "killed")
    (operator,) = pods_of(release, "operator")
    release.delete("pods", operator, grace=0)
    runs.start(a_run("killed-7").shell("echo '\"killed-7\"' > $TIDEGATE_RESULT_FILE"))  # made while no watch is open
    all_succeed_with_one_job_each(runs, [*names, "killed-7"])
    assert pods_of(release, "operator") != [operator]


@pytest.mark.usefixtures("two_operators")
def test_a_standby_takes_over_from_a_leader_that_goes(release: Kube, runs: ClusterRuns) -> None:
    before = leader(release)
    assert before in pods_of(release, "operator")
    names = started(runs, "handed-over")
    release.delete("pods", before, wait=False)
    wait_until(lambda: leader(release) not in ("", before), seconds=SECONDS, what="another leader")
    all_succeed_with_one_job_each(runs, names)


def test_no_part_is_refused_anything_by_the_cluster(release: Kube, runs: ClusterRuns) -> None:
    """A pass over all that parts do in the cluster; who lacks a right says so in its log."""
    runs.end(a_run("passes").python("tasks:resize").payload(pictures=2, seconds=0.2), "Succeeded")
    runs.end(a_run("fails").shell("exit 3").task(retry={"maxAttempts": 2, "initialDelaySeconds": 0}), "Failed")
    runs.start(a_run("stopped").shell("trap 'exit 1' TERM; while :; do sleep 0.2; done"))
    runs.wait("stopped", "Running")
    runs.cancel("stopped")
    runs.wait("stopped", "Cancelled")
    runs.start(a_run("homeless").shell("true").spec(resources={"requests": {"memory": "100Ti"}}))
    runs.wait("homeless", "Starting")
    runs.cancel("homeless")
    runs.wait("homeless", "Cancelled")
    # A Schedule with an overdue tick that replaces a run.
    replaced = a_run("nightly-mabc").shell("trap 'exit 1' TERM; while :; do sleep 0.2; done")
    runs.start(replaced.labels({"tidegate.dev/schedule": "nightly"}))
    runs.wait("nightly-mabc", "Running")
    minute = int(time.time() // 60) - 5
    template = a_run("nightly").shell("true")
    schedule = a_schedule("nightly", run=template, cron=f"{minute % 60} * * * *", concurrencyPolicy="Replace")
    schedule["metadata"]["namespace"] = runs.namespace
    runs.create(schedule)
    runs.kube.wait_condition("schedules.tidegate.dev", "nightly", "Ready", seconds=SECONDS)
    overdue = {"status": {"lastScheduleTime": format_second((minute - 1) * 60)}}
    runs.kube.patch("schedules.tidegate.dev", "nightly", overdue, subresource="status")
    runs.wait("nightly-mabc", "Cancelled")
    runs.wait(f"nightly-{minute}", "Succeeded")
    runs.kube.delete("schedules.tidegate.dev", "nightly")
    # Deleted by the mirror once it is stored, and its Job with it.
    runs.start(a_run("fleeting").shell("true").spec(ttlSecondsAfterFinished=0))
    wait_until(
        lambda: runs.kube.find("taskruns.tidegate.dev", "fleeting") is None, seconds=SECONDS, what="the deletion"
    )
    for component in COMPONENTS:
        for pod in pods_of(release, component):
            refused = [line for line in release.log(pod).lower().splitlines() if "forbidden" in line]
            assert [line for line in refused if not names_gone_namespace(line, release)] == [], pod


def names_gone_namespace(line: str, release: Kube) -> bool:
    """Whether a refusal is of a namespace that another test has deleted: the right to look into it goes before it does."""
    named = re.search(r'in the namespace \\?"([a-z0-9-]+)\\?"', line)
    if named is None:
        return False
    found = release.find("namespaces", named[1])
    return found is None or "deletionTimestamp" in found["metadata"]
