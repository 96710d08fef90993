"""What Schedules say of their finished runs, where the mirror deletes: which must stay for now, and how many are kept."""

from datetime import UTC, datetime
from typing import Any

from support.runs import now
from support.web import MirrorThread, Parts, Stack, finish, row, until
from tidegate_web.mirror import sweeper

MINUTE = 30_000_000
"""Of a tick some years ahead: after the creation of any Schedule here."""


def time_of(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat().replace("+00:00", "Z")


def create(stack: Stack, name: str, *, schedule: str, **spec: Any) -> None:
    stack.runs.create(name, labels={"tidegate.dev/schedule": schedule}, **({"taskRef": {"name": "t"}} | spec))


def swept(stack: Stack, parts: Parts, name: str) -> None:
    """Everything that was due before has been looked at: a run that ends after it is gone."""
    stack.runs.create(name, taskRef={"name": "t"})
    finish(stack, name, ttl=0)
    until(parts, name, lambda row: row.deleted_at is not None)


def test_a_run_stays_until_its_schedule_records_its_tick(stack: Stack, parts: Parts) -> None:
    stack.runs.schedule("tick", successfulRunsHistoryLimit=0)
    held, by_hand, other = f"tick-{MINUTE}", "tick-m5x1k2", f"gone-{MINUTE}"
    for name, schedule in ((held, "tick"), (by_hand, "tick"), (other, "gone")):
        create(stack, name, schedule=schedule)
        finish(stack, name, ttl=0)
    stack.mirror(max_finished_runs=0)
    for name in (by_hand, other):  # neither a run triggered by hand nor one of a Schedule that is gone
        until(parts, name, lambda row: row.deleted_at is not None)
    swept(stack, parts, "sentinel-1")
    stack.runs.schedule_status("tick", lastScheduleTime=time_of(MINUTE - 1))
    swept(stack, parts, "sentinel-2")
    assert row(parts, held).deleted_at is None
    assert stack.runs.exists(held)
    stack.runs.schedule_status("tick", lastScheduleTime=time_of(MINUTE))
    until(parts, held, lambda row: row.deleted_at is not None)
    assert not stack.runs.exists(held)


def test_a_schedule_that_goes_lets_go(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.schedule("tick")
    name = f"tick-{MINUTE}"
    create(stack, name, schedule="tick")
    finish(stack, name, ttl=0)
    until(parts, name, lambda row: row.phase == "Succeeded")
    swept(stack, parts, "sentinel")
    assert stack.runs.exists(name)
    stack.runs.kube.delete("schedules.tidegate.dev", "tick")
    until(parts, name, lambda row: row.deleted_at is not None)


def test_runs_that_are_held_do_not_keep_others_waiting(stack: Stack, parts: Parts, monkeypatch: Any) -> None:
    monkeypatch.setattr(sweeper, "AT_ONCE", 2)
    stack.runs.schedule("tick")
    for number in range(5):
        create(stack, f"tick-{MINUTE + number}", schedule="tick")
        finish(stack, f"tick-{MINUTE + number}", ttl=0)
    stack.mirror()
    swept(stack, parts, "after-them")
    assert all(stack.runs.exists(f"tick-{MINUTE + number}") for number in range(5))


def test_history_limits_keep_the_newest_of_each_kind(stack: Stack, parts: Parts) -> None:
    stack.runs.schedule("tick", successfulRunsHistoryLimit=1, failedRunsHistoryLimit=2)
    stack.runs.schedule("free")
    stack.runs.schedule_status("tick", lastScheduleTime=time_of(MINUTE + 100))
    phases = ("Succeeded", "Failed", "Cancelled", "Succeeded", "Expired", "Skipped")
    names = [f"tick-{MINUTE + number}" for number in range(len(phases))]
    for name, phase in zip(names, phases, strict=True):
        create(stack, name, schedule="tick")
        finish(stack, name, phase=phase)
    create(stack, "tick-m1", schedule="tick")  # goes on, and is not counted
    for name in ("free-1", "free-2"):
        create(stack, name, schedule="free")
        finish(stack, name)
    stack.mirror()
    for name in (names[0], names[1], names[2]):
        until(parts, name, lambda row: row.deleted_at is not None)
    swept(stack, parts, "sentinel")
    assert all(stack.runs.exists(name) for name in (*names[3:], "tick-m1", "free-1", "free-2"))
    # One more that succeeds: the one before it goes.
    create(stack, f"tick-{MINUTE + 50}", schedule="tick")
    finish(stack, f"tick-{MINUTE + 50}")
    until(parts, names[3], lambda row: row.deleted_at is not None)
    archived: Any = parts.sign_in().get(f"runs/{names[3]}").json
    assert (archived["phase"], archived["schedule"]) == ("Succeeded", "tick")
    # A limit that is set later holds for what is there.
    stack.runs.kube.patch("schedules.tidegate.dev", "tick", {"spec": {"failedRunsHistoryLimit": 0}})
    for name in names[4:]:
        until(parts, name, lambda row: row.deleted_at is not None)


def test_history_limits_spare_what_a_live_run_depends_on(stack: Stack, parts: Parts) -> None:
    stack.runs.schedule("tick", successfulRunsHistoryLimit=0)
    stack.runs.schedule_status("tick", lastScheduleTime=time_of(MINUTE + 1))
    needed, other = f"tick-{MINUTE}", f"tick-{MINUTE + 1}"
    for name in (needed, other):
        create(stack, name, schedule="tick")
        finish(stack, name)
    stack.runs.create("waits", taskRef={"name": "t"}, dependsOn=[{"name": needed, "when": "Finished"}])
    stack.mirror()
    until(parts, "waits", lambda row: True)
    until(parts, other, lambda row: row.deleted_at is not None)
    swept(stack, parts, "sentinel")
    assert stack.runs.exists(needed)
    stack.runs.status("waits", phase="Cancelled", finishedAt=now())
    until(parts, needed, lambda row: row.deleted_at is not None)


def test_many_schedules_are_listed_in_pages(stack: Stack, parts: Parts, monkeypatch: Any) -> None:
    monkeypatch.setattr("tidegate_web.cluster.client.PAGE", 2)
    for number in range(5):
        stack.runs.schedule(f"s{number}", successfulRunsHistoryLimit=0)
        create(stack, f"s{number}-m1", schedule=f"s{number}")
        finish(stack, f"s{number}-m1")
    stack.mirror()
    for number in range(5):
        until(parts, f"s{number}-m1", lambda row: row.deleted_at is not None)
