"""Operators that die make one run a tick, no less and no more."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builders import a_run, a_schedule
from support.kube import HTTPError, Kube
from support.operator import OperatorProcess, Runs
from support.schedules import KIND, Schedules, created, creations, some_minutes_ago
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

QUICK_LEASE = {"lease_duration_seconds": "3", "lease_renew_deadline_seconds": "2", "lease_retry_seconds": "0.3"}


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator whose Lease is soon another's. Under one name it leads at once when it is killed and started again."""
    log = Path(tmp_path_factory.mktemp("operator")) / "log"
    with OperatorProcess(plane, log=log, identity="operator", **QUICK_LEASE) as made:
        yield made.wait_leading()


def test_an_operator_killed_again_and_again_makes_one_run_a_tick(
    plane: ControlPlane, runs: Runs, schedules: Schedules, operator: OperatorProcess
) -> None:
    # Runs that are deleted as soon as they have ended: no name that is taken hides a second one.
    run = a_run("x").spec(ttlSecondsAfterFinished=0)
    cron, minutes = some_minutes_ago(*range(32, 2, -2))
    runs.create(a_schedule("killed", run=run, cron=cron, catchUp="All", concurrencyPolicy="Forbid"))
    schedules.wait_ready("killed", "True", "Scheduled")
    schedules.put_back("killed", minutes=40)
    for count in (2, 5, 8):
        schedules.wait_counted("killed", minutes[count])
        operator.kill()
        operator.start()
    schedules.wait_counted("killed", minutes[-1])
    wait_until(lambda: not schedules.runs_of("killed"), what="all runs to go after their TTL")
    assert created(plane, "killed") == {f"killed-{m}": 1 for m in minutes}


def test_another_replica_that_takes_over_makes_one_run_a_tick(
    plane: ControlPlane, runs: Runs, schedules: Schedules, operator: OperatorProcess, tmp_path: Path
) -> None:
    run = a_run("x").spec(ttlSecondsAfterFinished=0)
    cron, minutes = some_minutes_ago(*range(32, 2, -2))
    runs.create(a_schedule("handed", run=run, cron=cron, catchUp="All", concurrencyPolicy="Forbid"))
    schedules.wait_ready("handed", "True", "Scheduled")
    with OperatorProcess(plane, actor="second", log=tmp_path / "log", identity="second", **QUICK_LEASE) as second:
        schedules.put_back("handed", minutes=40)
        schedules.wait_counted("handed", minutes[4])
        operator.kill()
        second.wait_leading()
        schedules.wait_counted("handed", minutes[-1])
        makers = Counter(e.user for e in creations(plane, "handed"))
        assert makers.keys() == {"operator", "second"}
        assert created(plane, "handed") == {f"handed-{m}": 1 for m in minutes}
    operator.start().wait_leading()


def test_an_operator_that_dies_between_a_run_and_its_record_makes_no_second_one(
    plane: ControlPlane, runs: Runs, schedules: Schedules, operator: OperatorProcess
) -> None:
    cron, (minute,) = some_minutes_ago(5)
    name = f"between-{minute}"
    run = a_run("x").spec(ttlSecondsAfterFinished=0)
    runs.create(a_schedule("between", run=run, cron=cron, successfulRunsHistoryLimit=0))
    schedules.wait_ready("between", "True", "Scheduled")
    with speechless(plane, "between"):
        schedules.put_back("between", minutes=20)
        wait_until(lambda: name in schedules.runs_of("between"), what="the run of the tick")
        runs.wait(name, "Succeeded")
        failures = operator.log.count("reconcile failed")
        wait_until(lambda: operator.log.count("reconcile failed") > failures, what="another try to tell of it")
        # Past its TTL and its history limit, and still there: it is the record of the tick.
        runs.wait(name, "Succeeded")
        operator.kill()
    operator.start()
    schedules.wait_counted("between", minute)
    wait_until(lambda: not schedules.runs_of("between"), what="the run to go after its TTL")
    assert created(plane, "between") == {name: 1}


@contextmanager
def speechless(plane: ControlPlane, schedule: str) -> Iterator[None]:
    """The operator may write no status of a Schedule."""
    meta = {"name": "speechless"}
    rule = {
        "apiGroups": ["tidegate.dev"],
        "apiVersions": ["*"],
        "resources": ["schedules/status"],
        "operations": ["UPDATE"],
    }
    refusal = {"expression": "request.userInfo.username != 'operator'", "message": "not now"}
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [refusal]}
    binding = {"policyName": "speechless", "validationActions": ["Deny"]}
    items = [
        {"apiVersion": api, "kind": kind, "metadata": meta, "spec": policy},
        {"apiVersion": api, "kind": f"{kind}Binding", "metadata": meta, "spec": binding},
    ]
    admin, operator = Kube(plane.kubeconfig()), Kube(plane.kubeconfig("operator"))

    def may_write() -> bool:
        try:
            operator.patch(KIND, schedule, {"status": {"active": []}}, subresource="status", dry_run=True)
        except HTTPError:
            return False
        return True

    admin.create_all(items)
    try:
        wait_until(lambda: not may_write(), what="the policy to hold")
        yield
    finally:
        for item in items:
            admin.delete_one(item)
        wait_until(may_write, what="the policy to go")
