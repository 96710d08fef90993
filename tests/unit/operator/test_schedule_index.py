"""schedule_index: which Schedule is looked at for which run, and which runs are held for it."""

from typing import Any

from support.builders import a_run, a_schedule
from support.caches import a_cache
from tidegate_operator.state.cache import Cache

NOW = 1_000_020.0
MINUTE = int(NOW // 60)
CREATED = "1970-01-12T13:47:00Z"
KEY = ("default", "tick")


def meta(body: Any, *, version: int, uid: str) -> Any:
    more = {"uid": uid, "resourceVersion": str(version), "creationTimestamp": CREATED, "generation": 1}
    return {**body, "metadata": {**body["metadata"], **more}}


def run(name: str, *, version: int, label: str | None = "tick", phase: str = "Pending") -> Any:
    built = a_run(name).labels({"tidegate.dev/schedule": label} if label else {}).built
    return {**meta(built, version=version, uid=name), "status": {"phase": phase}}


def schedule(*, version: int, last: str | None = None) -> Any:
    status = {"lastScheduleTime": last} if last else {}
    return {**meta(a_schedule("tick"), version=version, uid="schedule"), "status": status}


def listened() -> tuple[Cache, list[tuple[str, str]]]:
    cache, heard = a_cache(now=NOW), list[tuple[str, str]]()
    cache.schedules.on_change = heard.append
    return cache, heard


def test_a_schedule_is_looked_at_when_its_run_comes_ends_and_goes_and_not_between() -> None:
    cache, heard = listened()
    cache.upserted("taskruns", run("tick-1", version=1))
    cache.upserted("taskruns", run("tick-1", version=2, phase="Running"))
    assert heard == [KEY]
    cache.upserted("taskruns", run("tick-1", version=3, phase="Succeeded"))
    cache.upserted("taskruns", run("tick-1", version=4, phase="Succeeded"))
    assert heard == [KEY] * 2
    cache.drop_run("tick-1")
    assert heard == [KEY] * 3
    assert cache.schedules.runs_of(KEY) == []


def test_runs_without_the_label_have_no_schedule() -> None:
    cache, heard = listened()
    cache.upserted("taskruns", run("tick-1", version=1, label=None))
    cache.drop_run("tick-1")
    assert heard == []


def test_a_label_that_is_moved_moves_the_run() -> None:
    cache, heard = listened()
    cache.upserted("taskruns", run("tick-1", version=1))
    cache.upserted("taskruns", run("tick-1", version=2, label="tock"))
    assert heard == [KEY, KEY, ("default", "tock")]
    assert cache.schedules.runs_of(KEY) == []
    assert [r.name for r in cache.schedules.runs_of(("default", "tock"))] == ["tick-1"]


def test_a_run_is_held_until_its_schedule_records_its_tick() -> None:
    cache, _ = listened()
    cache.schedules.put(schedule(version=1))
    for name, version in ((f"tick-{MINUTE + 1}", 2), (f"tick-{MINUTE}", 3), ("tick-mabc", 4)):
        cache.upserted("taskruns", run(name, version=version))
    holds = {r.name: cache.schedules.holds(r) for r in cache.runs.values()}
    assert holds == {f"tick-{MINUTE + 1}": True, f"tick-{MINUTE}": False, "tick-mabc": False}
    assert cache.schedules.put(schedule(version=5, last="1970-01-12T13:48:00Z")) == (f"tick-{MINUTE + 1}",)
    assert not cache.schedules.holds(cache.runs[f"tick-{MINUTE + 1}"])


def test_a_schedule_that_is_gone_holds_nothing() -> None:
    cache, heard = listened()
    cache.schedules.put(schedule(version=1))
    cache.upserted("taskruns", run(f"tick-{MINUTE + 1}", version=2))
    heard.clear()
    assert cache.schedules.drop("default", "tick", uid="another") == ()
    assert cache.schedules.drop("default", "tick", uid="schedule") == (f"tick-{MINUTE + 1}",)
    assert heard == [KEY]
    assert not cache.schedules.holds(cache.runs[f"tick-{MINUTE + 1}"])


def test_an_older_version_of_a_schedule_changes_nothing() -> None:
    cache, heard = listened()
    cache.schedules.put(schedule(version=2, last="1970-01-12T13:48:00Z"))
    cache.schedules.put(schedule(version=1))
    assert cache.schedules.records[KEY].version == 2
    assert heard == [KEY]
