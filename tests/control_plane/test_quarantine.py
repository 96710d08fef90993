"""An object with which the operator's own code breaks: an operator with faults put into it, on a real apiserver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_queue, a_run, a_schedule
from support.faults import held
from support.kube import Kube
from support.operator import OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

BROKEN = """
from tidegate_operator.control import runs
from tidegate_operator.records import run
from tidegate_operator.control import schedules
from tidegate_operator.queueing import admission

def breaking(function, is_odd):
    def call(*arguments, **more):
        if is_odd(*arguments):
            raise ArithmeticError("a fault on purpose")
        return function(*arguments, **more)
    return call

parse = run.RunRecord.parse.__func__
run.RunRecord.parse = classmethod(breaking(parse, lambda cls, body: body["metadata"]["name"].startswith("unreadable")))
update = run.RunRecord.update
run.RunRecord.update = breaking(update, lambda run, body: "break" in (body["metadata"].get("labels") or {}))
runs.decide = breaking(runs.decide, lambda run, *_: run.name.startswith("undecidable") and not run.status.phase.terminal)
schedules.decide = breaking(schedules.decide, lambda schedule, *_: schedule.name.startswith("odd"))
admission.Admission._next = breaking(admission.Admission._next, lambda self, state, now: state.key[1] == "odd")
"""


@pytest.fixture(scope="module")
def broken(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    log: Path = tmp_path_factory.mktemp("broken") / "log"
    with OperatorProcess(plane, log=log, broken=BROKEN, identity="operator") as made:
        yield made.wait_leading()


@pytest.fixture(scope="module")
def own(plane: ControlPlane, broken: OperatorProcess) -> OwnRuns:
    return OwnRuns(plane, "quarantine")


def set_aside(operator: OperatorProcess, kind: str) -> float:
    return operator.metric(f'tidegate_set_aside_objects{{kind="{kind}"}}')


def condition(body: dict[str, Any]) -> dict[str, Any]:
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == "SetAside"), {})


@pytest.mark.parametrize("name", ["unreadable", "undecidable"])
def test_a_run_that_breaks_ends_as_an_internal_error_and_others_go_on(
    own: OwnRuns, broken: OperatorProcess, name: str
) -> None:
    own.create(a_run(name).built)
    own.create(a_run(f"beside-{name}").built)
    own.wait(f"beside-{name}", "Succeeded")
    status = own.wait(name, "Failed", reason="InternalError")
    assert "ArithmeticError: a fault on purpose" in status["message"]
    assert "broke" in status["message"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Finished": "True", "Succeeded": "False"}
    wait_until(lambda: set_aside(broken, "taskruns") == 0, what="nothing more to be set aside")
    assert broken.log.count('"event": "set aside"') >= 1
    assert own.jobs(name) == []


def test_a_run_that_breaks_while_its_pod_lives_keeps_phase_and_slot_until_that_has_ended(
    own: OwnRuns, broken: OperatorProcess
) -> None:
    own.create(a_queue("one", concurrencyLimit=1))
    own.create(held("breaks-late", queue="one").built)
    own.wait("breaks-late", "Running")
    own.kube.label("taskruns.tidegate.dev", "breaks-late", {"break": "now"})
    wait_until(lambda: set_aside(broken, "taskruns") == 1, what="the run to be set aside")
    own.create(a_run("after-it").spec(queue="one").built)
    own.wait("after-it", "Pending", reason="ConcurrencyLimit")
    assert own.get("breaks-late")["status"]["phase"] == "Running"
    (job,) = own.jobs("breaks-late")
    selector = f"job-name={job['metadata']['name']}"
    own.kube.annotate_all("pods", selector, {"fake.tidegate.dev/exit-code": "0"})
    own.wait("breaks-late", "Failed", reason="InternalError")
    own.wait("after-it", "Succeeded")


def test_a_schedule_that_breaks_says_so_in_its_conditions(own: OwnRuns, broken: OperatorProcess) -> None:
    own.create(a_schedule("odd"))
    own.create(a_schedule("even"))
    wait_until(lambda: condition(own.get("odd", kind="schedules.tidegate.dev")) != {}, what="the condition SetAside")
    assert "a fault on purpose" in condition(own.get("odd", kind="schedules.tidegate.dev"))["message"]
    assert set_aside(broken, "schedules") == 1

    def upcoming() -> bool:
        return "nextScheduleTime" in (own.get("even", kind="schedules.tidegate.dev").get("status") or {})

    wait_until(upcoming, what="the other Schedule to be told of")


def test_a_queue_that_cant_be_judged_holds_its_own_runs_only(own: OwnRuns, broken: OperatorProcess) -> None:
    own.create(a_queue("odd"))
    own.create(a_run("in-odd").spec(queue="odd").built)
    own.create(a_run("in-default").built)
    own.wait("in-default", "Succeeded")
    status = own.wait("in-odd", "Pending", reason="QueuePaused")
    assert "set aside" in status["message"]
    wait_until(lambda: condition(own.get("odd", kind="queues.tidegate.dev")) != {}, what="the condition SetAside")
    assert set_aside(broken, "queues") == 1


def test_the_lease_says_how_many_objects_are_set_aside(kube: Kube, broken: OperatorProcess) -> None:
    def said() -> str | None:
        annotations = kube.get("leases", "tidegate-operator")["metadata"].get("annotations", {})
        found: str | None = annotations.get("tidegate.dev/set-aside-objects")
        return found

    wait_until(
        lambda: said() == str(int(set_aside(broken, "queues") + set_aside(broken, "schedules"))), what="the count"
    )


def test_all_that_is_still_so_after_a_restart(own: OwnRuns, broken: OperatorProcess) -> None:
    broken.kill()
    broken.start().wait_leading()
    own.create(a_run("after-restart").built)
    own.wait("after-restart", "Succeeded")
    assert own.get("unreadable")["status"]["reason"] == "InternalError"
    assert broken.exit_code is None
