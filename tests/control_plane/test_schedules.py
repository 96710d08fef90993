"""Schedules on a real apiserver. Nobody waits for minutes: a lastScheduleTime that is put back makes ticks overdue."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_run, a_schedule
from support.operator import OperatorProcess, Runs
from support.servers import wait_until
from tidegate_cluster.audit import AuditEntry
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError
from tidegate_operator.timestamps import format_second, parse_time

Json = dict[str, Any]
QUICK_LEASE = {"lease_duration_seconds": "3", "lease_renew_deadline_seconds": "2", "lease_retry_seconds": "0.3"}
KIND = "schedules.tidegate.dev"
LABEL = "tidegate.dev/schedule"


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """A supervisor whose Lease is soon another's. Under one name it leads at once when it is killed and started again."""
    log = Path(tmp_path_factory.mktemp("operator")) / "log"
    with OperatorProcess(plane, log=log, identity="operator", **QUICK_LEASE) as made:
        yield made.wait_leading()


class Schedules:
    """Schedules of namespace default, and their runs."""

    def __init__(self, plane: ControlPlane, runs: Runs) -> None:
        self._plane, self._runs = plane, runs

    def status(self, name: str) -> Json:
        status: Json = self._runs.get(name, kind=KIND).get("status", {})
        return status

    def patch(self, name: str, **spec: Any) -> None:
        self._plane.kubectl("patch", KIND, name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def put_back(self, name: str, *, minutes: int) -> int:
        """Have it believe that the last tick was so long ago; its minute."""
        last = int(time.time() // 60) - minutes
        patch = json.dumps({"status": {"lastScheduleTime": format_second(last * 60)}})
        self._plane.kubectl("patch", KIND, name, "--subresource=status", "--type=merge", "-p", patch)
        return last

    def runs_of(self, name: str) -> dict[str, Json]:
        return {r["metadata"]["name"]: r for r in self._runs.listed("taskruns.tidegate.dev", f"{LABEL}={name}")}

    def warnings(self, name: str) -> list[Json]:
        """Warning Events on the schedule."""
        found = self._runs.listed("events")
        return [e for e in found if (e["involvedObject"]["kind"], e["involvedObject"]["name"]) == ("Schedule", name)]

    def wait_warnings(self, name: str) -> list[Json]:
        wait_until(lambda: bool(self.warnings(name)), what=f"a warning on {name}")
        return self.warnings(name)

    def wait(self, name: str, condition: Callable[[Json], bool], *, what: str, seconds: float = 20) -> Json:
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.status(name))
            return condition(seen)

        try:
            wait_until(there, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"schedule {name}: no {what} after {seconds} s but {json.dumps(seen)}") from None
        return seen

    def wait_ready(self, name: str, status: str, reason: str) -> Json:
        self.wait(name, lambda s: condition(s)[:2] == (status, reason), what=f"Ready={status} {reason}")
        made: Json = self.status(name)
        return made

    def wait_counted(self, name: str, minute: int, *, seconds: float = 20) -> Json:
        return self.wait(
            name, lambda s: last_minute(s) >= minute, what=f"lastScheduleTime of minute {minute}", seconds=seconds
        )


def condition(status: Json) -> tuple[str, str, str]:
    found = {c["type"]: c for c in status.get("conditions", [])}.get("Ready", {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def last_minute(status: Json) -> int:
    return int((parse_time(status.get("lastScheduleTime")) or 0) // 60)


@pytest.fixture
def schedules(plane: ControlPlane, runs: Runs) -> Iterator[Schedules]:
    yield Schedules(plane, runs)
    plane.kubectl("delete", KIND, "--all", "-n", "default")


def some_minutes_ago(*ago: int) -> tuple[str, list[int]]:
    """A cron of minutes that have just been, once each within the hour, and those minutes since the epoch."""
    now = int(time.time() // 60)
    minutes = [now - a for a in ago]
    return f"{','.join(str(m % 60) for m in minutes)} * * * *", minutes


def creations(plane: ControlPlane, schedule: str) -> list[AuditEntry]:
    """The requests that created runs of a schedule."""
    entries = [e for e in plane.requests() if e.what == "create taskruns" and e.code == 201]
    return [e for e in entries if e.name.startswith(f"{schedule}-")]


def created(plane: ControlPlane, schedule: str) -> Counter[str]:
    """How often each run of a schedule was created."""
    return Counter(e.name for e in creations(plane, schedule))


def test_a_new_schedule_waits_for_its_first_tick(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("fresh", cron="30 2 * * *", timeZone="Europe/Berlin", catchUp="All"))
    status = schedules.wait_ready("fresh", "True", "Scheduled")
    assert status["observedGeneration"] == 1
    assert "lastScheduleTime" not in status
    assert (parse_time(status["nextScheduleTime"]) or 0) > time.time()
    assert schedules.runs_of("fresh") == {}


def test_every_tick_that_was_missed_makes_its_run(plane: ControlPlane, runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    template = a_run("x").labels({"team": "blue"}).payload(a=None)
    schedule = a_schedule("missed", run=template, cron=cron, catchUp="All")
    schedule["spec"]["template"]["metadata"]["annotations"] = {"example.com/why": "nightly"}
    runs.create(schedule)
    schedules.wait_ready("missed", "True", "Scheduled")
    schedules.put_back("missed", minutes=20)
    status = schedules.wait_counted("missed", minutes[-1])
    assert last_minute(status) == minutes[-1]
    made = schedules.runs_of("missed")
    assert sorted(made) == [f"missed-{m}" for m in minutes]
    for run in made.values():
        assert run["metadata"]["labels"] == {"team": "blue", LABEL: "missed"}
        assert run["metadata"]["annotations"] == {"example.com/why": "nightly"}
        assert "ownerReferences" not in run["metadata"]
        assert run["spec"]["payload"] == {"a": None}
        runs.wait(run["metadata"]["name"], "Succeeded")
    schedules.wait("missed", lambda s: "active" not in s, what="end of all runs")
    plane.kubectl("delete", KIND, "missed")
    assert sorted(schedules.runs_of("missed")) == [f"missed-{m}" for m in minutes]


def test_a_tick_costs_one_post_and_two_patches(plane: ControlPlane, runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    runs.create(a_schedule("cheap", cron=cron))
    schedules.wait_ready("cheap", "True", "Scheduled")
    begin = len(plane.requests("operator"))
    schedules.put_back("cheap", minutes=20)
    schedules.wait_counted("cheap", minute)
    schedules.wait("cheap", lambda s: "active" not in s, what="end of the run")
    assert schedules.warnings("cheap") == []
    spent = Counter(e.what for e in plane.requests("operator")[begin:] if e.resource in ("taskruns", "schedules"))
    assert spent["create taskruns"] == 1
    assert spent["patch schedules/status"] <= 2
    assert spent.keys() <= {"create taskruns", "patch schedules/status", "patch taskruns/status"}


@pytest.mark.parametrize(("catch_up", "expected"), [("None", 0), ("Latest", 1)])
def test_of_many_missed_ticks_the_latest_is_made_up_for_or_none(
    runs: Runs, schedules: Schedules, catch_up: str, expected: int
) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    name = f"few-{catch_up.lower()}"
    runs.create(a_schedule(name, cron=cron, catchUp=catch_up))
    schedules.wait_ready(name, "True", "Scheduled")
    schedules.put_back(name, minutes=20)
    schedules.wait_counted(name, minutes[-1])
    assert sorted(schedules.runs_of(name)) == [f"{name}-{minutes[-1]}"][:expected]
    (warning,) = schedules.wait_warnings(name)
    assert warning["reason"] == "MissSchedule"
    left_out = 3 - expected
    assert f"{left_out} times until {format_second(minutes[left_out - 1] * 60)}" in warning["message"]


def test_a_tick_past_its_starting_deadline_is_missed(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 3)
    runs.create(a_schedule("deadline", cron=cron, catchUp="All", startingDeadlineSeconds=400))
    schedules.wait_ready("deadline", "True", "Scheduled")
    schedules.put_back("deadline", minutes=20)
    schedules.wait_counted("deadline", minutes[-1])
    assert sorted(schedules.runs_of("deadline")) == [f"deadline-{minutes[-1]}"]
    (warning,) = schedules.wait_warnings("deadline")
    assert (
        warning["message"] == f"no run was made for {format_second(minutes[0] * 60)}: more than 400 s have passed since"
    )


def test_a_tick_that_forbid_holds_past_its_deadline_is_told_once(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    by_hand = a_run("held-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "held"
    runs.create(by_hand)
    runs.create(a_schedule("held", cron=cron, concurrencyPolicy="Forbid", startingDeadlineSeconds=30))
    schedules.wait("held", lambda s: [a["name"] for a in s.get("active", ())] == ["held-mabc"], what="active run")
    schedules.put_back("held", minutes=20)
    schedules.wait_counted("held", minute)
    (warning,) = schedules.wait_warnings("held")
    assert warning["reason"] == "MissSchedule"
    assert "held-mabc still goes on" in warning["message"]
    runs.patch_spec("held-mabc", cancel=True)
    runs.wait("held-mabc", "Cancelled")


def test_forbid_waits_for_the_run_that_goes_on(plane: ControlPlane, runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    by_hand = a_run("forbid-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "forbid"
    runs.create(by_hand)
    runs.create(a_schedule("forbid", cron=cron, concurrencyPolicy="Forbid", catchUp="All"))
    schedules.wait("forbid", lambda s: [a["name"] for a in s.get("active", ())] == ["forbid-mabc"], what="active run")
    last = schedules.put_back("forbid", minutes=20)
    # Told of the tick that is held, and nothing made of it.
    schedules.wait("forbid", lambda s: s.get("nextScheduleTime") == format_second(minutes[0] * 60), what="held tick")
    assert last_minute(schedules.status("forbid")) == last
    assert schedules.warnings("forbid") == []
    assert list(schedules.runs_of("forbid")) == ["forbid-mabc"]
    runs.patch_spec("forbid-mabc", cancel=True)
    schedules.wait_counted("forbid", minutes[-1])
    made = [runs.get(f"forbid-{m}")["metadata"]["creationTimestamp"] for m in minutes]
    ends = [runs.wait(f"forbid-{m}", "Succeeded")["finishedAt"] for m in minutes]
    assert made == sorted(made)
    for end, start in zip(ends, made[1:], strict=False):
        assert (parse_time(end) or 0) < (parse_time(start) or 0) + 1  # a creation has no fractions of a second


def test_replace_cancels_the_run_that_goes_on(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 3)
    by_hand = a_run("replace-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "replace"
    runs.create(by_hand)
    runs.create(a_schedule("replace", cron=cron, concurrencyPolicy="Replace", catchUp="All"))
    schedules.wait_ready("replace", "True", "Scheduled")
    schedules.put_back("replace", minutes=20)
    schedules.wait_counted("replace", minutes[-1])
    runs.wait("replace-mabc", "Cancelled")
    runs.wait(f"replace-{minutes[-1]}", "Succeeded")
    assert sorted(schedules.runs_of("replace")) == sorted(["replace-mabc", f"replace-{minutes[-1]}"])


def test_a_bad_cron_is_told_and_a_mended_one_counts_from_then(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("bad", cron="61 * * * *", catchUp="All"))
    status = schedules.wait_ready("bad", "False", "InvalidCron")
    assert "Bad minute" in condition(status)[2]
    schedules.put_back("bad", minutes=20)
    schedules.patch("bad", cron="*/2 * * * *", timeZone="Mars/Olympus")
    status = schedules.wait_ready("bad", "False", "InvalidTimeZone")
    assert "Mars/Olympus" in condition(status)[2]
    before = int(time.time() // 60)
    schedules.patch("bad", timeZone="America/New_York")
    status = schedules.wait_ready("bad", "True", "Scheduled")
    assert (parse_time(status["nextScheduleTime"]) or 0) > before * 60
    assert all(int(name.rsplit("-", 1)[1]) > before for name in schedules.runs_of("bad"))


def test_ticks_of_a_suspension_are_not_made_up_for(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("paused", catchUp="All", suspend=True))
    status = schedules.wait_ready("paused", "True", "Suspended")
    assert "nextScheduleTime" not in status
    schedules.put_back("paused", minutes=20)
    before = int(time.time() // 60)
    schedules.patch("paused", suspend=False)
    status = schedules.wait_ready("paused", "True", "Scheduled")
    assert last_minute(status) >= before
    assert all(int(name.rsplit("-", 1)[1]) > before for name in schedules.runs_of("paused"))


def test_a_run_of_another_that_has_the_ticks_name_is_left_alone_and_told(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    name = f"taken-{minute}"
    runs.create(a_run(name).built)
    runs.create(a_schedule("taken", cron=cron))
    schedules.wait_ready("taken", "True", "Scheduled")
    schedules.put_back("taken", minutes=20)
    status = schedules.wait_ready("taken", "False", "NameTaken")
    assert name in condition(status)[2]
    assert last_minute(status) == minute
    (warning,) = schedules.wait_warnings("taken")
    assert warning["reason"] == "NameTaken"
    assert LABEL not in runs.get(name)["metadata"].get("labels", {})


def test_a_template_that_the_apiserver_refuses_is_told_and_tried_again(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    schedule = a_schedule("refused", run=a_run("x").labels({"not a label!": "x"}), cron=cron)
    runs.create(schedule)
    schedules.wait_ready("refused", "True", "Scheduled")
    schedules.put_back("refused", minutes=20)
    status = schedules.wait_ready("refused", "False", "CreateRefused")
    assert "not a label!" in condition(status)[2]
    assert last_minute(status) < minute
    (warning,) = schedules.wait_warnings("refused")
    assert warning["reason"] == "CreateRefused"
    schedules.patch("refused", template={"metadata": {"labels": {"not a label!": None}}})
    schedules.wait_counted("refused", minute)
    schedules.wait_ready("refused", "True", "Scheduled")
    runs.wait(f"refused-{minute}", "Succeeded")


def test_history_is_kept_to_its_limits(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    for i in range(2):
        failed = a_run(f"history-m{i}").pod(exit_code="1").task(retry={"maxAttempts": 1}).built
        failed["metadata"]["labels"][LABEL] = "history"
        runs.create(failed)
        runs.wait(f"history-m{i}", "Failed")
    schedule = a_schedule("history", cron=cron, catchUp="All", successfulRunsHistoryLimit=1, failedRunsHistoryLimit=1)
    runs.create(schedule)
    schedules.wait_ready("history", "True", "Scheduled")
    schedules.put_back("history", minutes=20)
    expected = {"history-m1", f"history-{minutes[-1]}"}
    wait_until(lambda: schedules.runs_of("history").keys() == expected, what=f"{expected} to be left")


def test_a_supervisor_killed_again_and_again_makes_one_run_a_tick(
    plane: ControlPlane, runs: Runs, schedules: Schedules, operator: OperatorProcess
) -> None:
    # Runs that are deleted as soon as they have ended: no name that is taken hides a second one.
    run = a_run("x").spec(ttlSecondsAfterFinished=0)
    cron, minutes = some_minutes_ago(*range(32, 2, -2))
    runs.create(a_schedule("killed", run=run, cron=cron, catchUp="All", concurrencyPolicy="Forbid"))
    schedules.wait_ready("killed", "True", "Scheduled")
    schedules.put_back("killed", minutes=40)
    for count in (2, 5, 8):
        schedules.wait_counted("killed", minutes[count], seconds=40)
        operator.kill()
        operator.start()
    schedules.wait_counted("killed", minutes[-1], seconds=60)
    wait_until(lambda: not schedules.runs_of("killed"), seconds=40, what="all runs to go after their TTL")
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
        schedules.wait_counted("handed", minutes[-1], seconds=60)
        makers = Counter(e.user for e in creations(plane, "handed"))
        assert makers.keys() == {"operator", "second"}
        assert created(plane, "handed") == {f"handed-{m}": 1 for m in minutes}
    operator.start().wait_leading()


def test_a_supervisor_that_dies_between_a_run_and_telling_of_it_makes_no_second_one(
    plane: ControlPlane, runs: Runs, schedules: Schedules, operator: OperatorProcess
) -> None:
    cron, (minute,) = some_minutes_ago(5)
    name = f"between-{minute}"
    run = a_run("x").spec(ttlSecondsAfterFinished=0)
    runs.create(a_schedule("between", run=run, cron=cron, successfulRunsHistoryLimit=0))
    schedules.wait_ready("between", "True", "Scheduled")
    with speechless(plane, "between"):
        schedules.put_back("between", minutes=20)
        runs.wait(name, "Succeeded")
        failures = operator.log.count("schedule failed")
        wait_until(lambda: operator.log.count("schedule failed") > failures, what="another try to tell of it")
        # Past its TTL and its history limit, and still there: it is what tells of the tick.
        runs.wait(name, "Succeeded")
        operator.kill()
    operator.start()
    schedules.wait_counted("between", minute)
    wait_until(lambda: not schedules.runs_of("between"), what="the run to go after its TTL")
    assert created(plane, "between") == {name: 1}


@contextmanager
def speechless(plane: ControlPlane, schedule: str) -> Iterator[None]:
    """The supervisor may write no status of a Schedule."""
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
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def may_write() -> bool:
        patch = ("--type=merge", "--dry-run=server", "-p", json.dumps({"status": {"active": []}}))
        try:
            plane.kubectl("patch", KIND, schedule, "--subresource=status", *patch, actor="operator")
        except ClusterError:
            return False
        return True

    plane.kubectl("create", "-f", "-", stdin=manifest)
    try:
        wait_until(lambda: not may_write(), what="the policy to hold")
        yield
    finally:
        plane.kubectl("delete", "-f", "-", stdin=manifest)
        wait_until(may_write, what="the policy to go")
