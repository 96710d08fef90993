"""What is counted for a project is what the archive has of it: after writing and deleting, and again after a recount."""

import itertools
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from support.archive import NOW, HandClock, a_run, archive, keep_for, kept, months, recounted_just_now
from support.pods import Pod
from support.servers import wait_until
from support.web import Parts, Stack, make_quarantine, until
from tidegate_web.mirror.archive_metrics import ArchiveMetrics
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.partitions import Month
from tidegate_web.store.queries import archiving, project_bytes, project_moves, recount, task_specs
from tidegate_web.store.records import RunRecord

LONG_AGO = NOW - timedelta(days=200)
LATELY = NOW - timedelta(days=20)


@pytest.fixture
def engine(stack: Stack) -> Engine:
    return stack.services("web").engine


def pruner(engine: Engine, *, days: int = 0, clock: HandClock | None = None, kind: type[Pruner] = Pruner) -> Pruner:
    return kind(
        engine=engine,
        clock=clock or HandClock(),
        quarantine=make_quarantine(),
        stop=threading.Event(),
        seconds=1,
        audit_days=0,
        retention_days=days,
    )


def counted(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {project: size for project, size in project_bytes.of_all(connection).items() if size}


def wrong(engine: Engine) -> dict[str, int]:
    """By how much the counters are wrong."""
    with engine.connect() as connection:
        found = recount.drift(connection, go_on=lambda: True)
    assert found is not None
    return {project: size for project, size in found.items() if size}


def archived(engine: Engine, *records: RunRecord) -> None:
    """Runs with something of everything, counted as the mirror counts them."""
    archive(engine, *records)
    with engine.begin() as connection:
        archiving.count(connection, uids=[record.uid for record in records], bound=ArchiveBound(most=0))
        # The log of theirs was written by a process that has ended.
        for record in records:
            project_bytes.add(connection, {record.project: len_of_chunk(connection, record.uid)})
            task_specs.keep(connection, project=record.project, spec_hash=record.name, spec="{}", now=record.created)


def len_of_chunk(connection: Any, uid: str) -> int:
    found = connection.execute(text("SELECT octet_length(data) FROM log_chunks WHERE run_uid = :uid"), {"uid": uid})
    return project_bytes.document(found.scalar_one())


def test_everything_that_is_kept_is_counted_and_what_goes_no_longer(engine: Engine) -> None:
    archived(engine, *(a_run(f"{project}-{n}", created=LATELY, project=project) for project in "pq" for n in range(3)))
    assert wrong(engine) == {}
    assert counted(engine).keys() == {"p", "q"}
    each = counted(engine)["p"] // 3
    pruner(engine).look()
    keep_for(engine, 10, project="q")  # nothing is recounted by then
    pruner(engine).look()
    assert counted(engine) == {"p": 3 * each}
    assert wrong(engine) == {}


def test_a_run_that_is_deleted_for_good_frees_what_it_took(stack: Stack, parts: Parts) -> None:
    recounted_just_now(parts.engine)
    stack.mirror()
    pod, stays = Pod(stack, parts), Pod(stack, parts, "stays")
    for each in (pod, stays):
        assert each.send("result", b'"' + b"x" * 50_000 + b'"').status_code == 200
        assert each.send("checkpoint", b"[1]").status_code == 204
        assert each.call("POST", "metadata", json={"set": {"x": "ä"}}).status_code == 200
        until(parts, each.run["metadata"]["name"], lambda row: True)
    before = counted(parts.engine)[stack.project]
    assert wrong(parts.engine) == {}
    me = parts.sign_in()
    assert me.call("DELETE", "runs/works").status_code == 204
    wait_until(lambda: counted(parts.engine)[stack.project] == before // 2, what="its bytes")
    assert wrong(parts.engine) == {}
    reported: Any = me.get("settings").json
    assert reported["archive"]["usedBytes"] == before // 2


def test_a_recount_puts_right_what_is_wrong_while_others_write(stack: Stack, parts: Parts) -> None:
    pod = Pod(stack, parts)
    with parts.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO run_keys VALUES (:uid, :project, 'works', now())"),
            {"uid": pod.uid, "project": stack.project},
        )
    pod.send("result", b'"before"')
    with parts.engine.begin() as connection:
        connection.execute(text("DELETE FROM project_bytes"))
        connection.execute(text("INSERT INTO project_bytes VALUES ('gone', 3, 1000000)"))
    numbers = itertools.count(1)

    class Beside(Pruner):
        """After each statement of the recount another transaction writes and counts."""

        def beat(self) -> None:
            super().beat()
            data = b'"' + random.Random(1).randbytes(100 * next(numbers)).hex().encode() + b'"'  # noqa: S311
            assert pod.send("result", data).status_code == 200

    pruner(parts.engine, kind=Beside).look()
    assert next(numbers) > 5
    assert counted(parts.engine).keys() == {stack.project}
    assert wrong(parts.engine) == {}


def test_it_is_recounted_once_a_day(engine: Engine) -> None:
    archived(engine, a_run("one", created=LATELY))
    clock = HandClock()
    pruner(engine, clock=clock).look()
    right = counted(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE project_bytes SET bytes = bytes + 5 WHERE shard >= 0"))
    pruner(engine, clock=clock).look()
    assert counted(engine) != right
    clock.time += timedelta(days=1)
    pruner(engine, clock=clock).look()
    assert counted(engine) == right


def test_an_installation_keeps_runs_for_so_many_days_and_a_project_as_it_says_itself(engine: Engine) -> None:
    for project, days in (("default", None), ("forever", 0), ("longer", 300), ("shorter", 10)):
        archived(engine, *(a_run(f"{project}-{at:%m}", created=at, project=project) for at in (LONG_AGO, LATELY)))
        if days is not None:
            keep_for(engine, days, project=project)
    pruner(engine, days=90).look()
    lately, long_ago = f"{LATELY:%m}", f"{LONG_AGO:%m}"
    left = {
        *(f"{project}-{lately}" for project in ("default", "forever", "longer")),
        *(f"{project}-{long_ago}" for project in ("forever", "longer")),
    }
    assert all(names == left for names in kept(engine).values()), kept(engine)
    assert wrong(engine) == {}


def test_a_month_past_the_default_is_dropped_whole_and_its_bytes_with_it(engine: Engine) -> None:
    archived(engine, *(a_run(f"r{number}", created=LONG_AGO) for number in range(3)), a_run("stays", created=LATELY))
    pruner(engine, days=0).look()
    assert Month.of(LONG_AGO) in months(engine)
    before = counted(engine)["p"]
    pruner(engine, days=90).look()
    assert Month.of(LONG_AGO) not in months(engine)
    assert kept(engine)["runs"] == {"stays"}
    assert wrong(engine) == {}
    assert counted(engine)["p"] < before // 2


def test_what_is_set_apart_under_another_name_is_counted_there(engine: Engine) -> None:
    archived(
        engine, *(a_run(f"r{number}", created=LATELY) for number in range(3)), a_run("q", created=LATELY, project="q")
    )
    pruner(engine).look()
    before = counted(engine)
    with engine.begin() as connection:
        project_moves.begin(connection, source="p", target="p@old", runs_before=None)
        (move,) = project_moves.open_moves(connection, project="p")
        while project_moves.step(connection, move, limit=2, now=NOW):
            pass
        project_moves.complete(connection, move, now=NOW)
    assert counted(engine) == {"p@old": before["p"], "q": before["q"]}
    assert wrong(engine) == {}
    with engine.begin() as connection:
        assert project_bytes.recounted(connection) is None
        project_bytes.add(connection, {"p": 5000})  # of what was written under the name meanwhile
    pruner(engine).look()
    assert wrong(engine) == {}


def test_metrics_are_of_the_largest_projects_and_a_sum_or_of_all_together() -> None:
    used = {f"p-{number:03}": number for number in range(300)} | {"wrong": -7}

    def shown(*, by_namespace: bool) -> tuple[dict[str, float], float]:
        registry = CollectorRegistry()
        metrics = ArchiveMetrics(registry=registry, bound=ArchiveBound(most=300), by_namespace=by_namespace)
        metrics.show({"old": 1})
        metrics.show(used)
        (family,) = (each for each in registry.collect() if each.name == "tidegate_archive_bytes")
        full = registry.get_sample_value("tidegate_archive_full_projects")
        assert full is not None
        return {sample.labels["namespace"]: sample.value for sample in family.samples}, full

    named, full = shown(by_namespace=True)
    assert len(named) == 201
    assert (named["p-299"], named["p-100"], named[""]) == (299, 100, sum(range(100)))
    assert full == 15
    assert shown(by_namespace=False) == ({"": sum(range(300))}, 15)


def test_the_mirror_publishes_them(stack: Stack, parts: Parts) -> None:
    recounted_just_now(parts.engine)
    Pod(stack, parts).send("result", b'"' + b"x" * 1000 + b'"')
    mirror = stack.mirror()
    wait_until(
        lambda: (
            mirror.metric("tidegate_archive_bytes", namespace=stack.project) == counted(parts.engine)[stack.project]
        ),
        what="the metric",
    )
