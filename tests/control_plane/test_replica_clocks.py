"""An operator whose machine has the wrong time: it decides, and writes times, by the apiserver's."""

import json
import re
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from support.builders import a_run, a_schedule
from support.faults import QUICK_LEASE, end, held
from support.operator import Json, OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_api.times import parse_time
from tidegate_cluster.control_plane import ControlPlane

MINUTES = 10
OTHER_CLOCK = "import time\nreal = time.time\ntime.time = lambda: real() + ({seconds})\n"
A_TIME = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')


@pytest.fixture(scope="module", params=[-MINUTES, MINUTES], ids=["behind", "ahead"])
def operator(
    request: pytest.FixtureRequest, plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """One that leads on a machine whose clock is off."""
    clock = OTHER_CLOCK.format(seconds=60 * request.param)
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(plane, log=log, broken=clock, **QUICK_LEASE) as made:
        yield made.wait_leading()


@pytest.fixture
def own(plane: ControlPlane, operator: OperatorProcess) -> OwnRuns:
    """Runs of a namespace of the test's own."""
    return OwnRuns(plane, f"clock-{uuid4().hex[:8]}")


def times_are_of_now(status: Json) -> bool:
    found = [parse_time(each) or 0.0 for each in A_TIME.findall(json.dumps(status))]
    return bool(found) and all(abs(each - time.time()) < 60 * MINUTES / 2 for each in found)


def test_no_timeout_of_an_attempt_comes_too_early(own: OwnRuns) -> None:
    own.create(held("goes-on").task(timeoutSeconds=400, startTimeoutSeconds=400, retry={"maxAttempts": 1}).built)
    own.create(
        a_run("pulls").pod(waiting="ContainerCreating").task(startTimeoutSeconds=400, retry={"maxAttempts": 1}).built
    )
    own.wait("goes-on", "Running")
    own.wait("pulls", "Starting")
    # Whatever is due has been looked at, once a run that came later has ended.
    own.create(a_run("later").retry(maxAttempts=2, initialDelaySeconds=1).pod(exit_code="1").built)
    assert len(own.wait("later", "Failed")["attempts"]) == 2
    assert own.get("goes-on")["status"]["phase"] == "Running"
    assert own.get("pulls")["status"]["phase"] == "Starting"
    end(own, "goes-on")
    status = own.wait("goes-on", "Succeeded")
    assert times_are_of_now(status), status


def test_a_run_that_is_to_start_later_starts_then(own: OwnRuns) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    own.create(a_run("soon").spec(startAfter=at).built)
    status = own.wait("soon", "Succeeded")
    assert (parse_time(status["startedAt"]) or 0.0) >= (parse_time(at) or 0.0) - 1


def test_a_schedule_has_its_ticks_when_they_are(own: OwnRuns) -> None:
    own.create(a_schedule("minutely", cron="* * * * *"))
    wait_until(
        lambda: "nextScheduleTime" in own.get("minutely", kind="schedules.tidegate.dev").get("status", {}),
        what="its next tick",
    )
    status = own.get("minutely", kind="schedules.tidegate.dev")["status"]
    assert times_are_of_now(status), status
