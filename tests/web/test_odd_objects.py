"""One odd object harms no other: what is stored of it, and that the mirror and the API go on beside it."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from support.refused_rows import accept_rows, refuse_rows
from support.runs import now
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, row, until
from tidegate_web.audit.recording import KEY
from tidegate_web.cluster.client import runs_path
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.mirror.informer import Informer
from tidegate_web.mirror.quarantine import Quarantine, Retrier
from tidegate_web.store.queries import runs
from tidegate_web.store.records import NOT_STORED, run_record

Json = dict[str, Any]
REFUSED = "NEW.name = 'odd' AND NEW.spec ? 'payload'"


def nested(levels: int, leaf: str) -> str:
    return '{"a":' * levels + json.dumps(leaf) + "}" * levels


def create_text(stack: Stack, name: str, payload: str) -> None:
    """A TaskRun with a payload that Python's own JSON doesn't write."""
    head = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "TaskRun", "metadata": {"name": name}}
    spec = f'{{"suspend": true, "task": {{"image": "busybox"}}, "payload": {payload}}}'
    stack.runs.kube.create_text("taskruns.tidegate.dev", f'{json.dumps(head)[:-1]}, "spec": {spec}}}')


def test_a_payload_deeper_than_the_archive_takes(stack: Stack, parts: Parts) -> None:
    first = stack.mirror()
    stack.runs.create("before")
    until(parts, "before", lambda row: True)
    create_text(stack, "odd", f'{{"p": {nested(1200, "x" + chr(0) + "y")}}}')
    stack.runs.create("beside", taskRef={"name": "t"})
    finish(stack, "beside")
    until(parts, "beside", lambda row: row.phase == "Succeeded")
    finish(stack, "odd", phase="Cancelled")
    found = until(parts, "odd", lambda row: row.phase == "Cancelled")
    assert found.spec["payload"] == {NOT_STORED: "nested deeper than 500 levels"}
    assert found.spec["suspend"] is True
    assert first.set_aside("TaskRun") == 0  # it is stored, as far as that can be
    first.end()
    stack.runs.create("after-a-restart")
    stack.mirror()
    until(parts, "after-a-restart", lambda row: True)
    me = parts.sign_in()
    shown: Any = me.get("runs/odd").json
    assert shown["spec"]["payload"] == found.spec["payload"]
    replay = me.post("runs/odd:replay", {})
    assert replay.status_code == 422
    assert replay.json["errors"][0]["field"] == "payload"  # type: ignore[index]
    assert me.post("runs/odd:replay", {"payload": {"p": 1}}).status_code == 201


def test_a_payload_as_deep_as_the_archive_takes(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    payload = nested(498, "x\x00y")
    create_text(stack, "deep", payload)
    until(parts, "deep", lambda row: True)
    me = parts.sign_in()
    shown: Any = me.get("runs/deep").json
    assert json.dumps(shown["spec"]["payload"]).replace(" ", "") == payload.replace("\\u0000", "\\ufffd")
    page = me.client.get(f"/projects/{stack.project}/runs/deep")
    assert page.status_code == 200


ODD_STATUSES: dict[str, Json] = {
    "times": {
        "queuedAt": "2026-11-26t12:00:00z",
        "startedAt": "0001-01-01T00:00:00+23:00",
        "finishedAt": "9999-12-31T23:59:59.999999999-23:00",
    },
    "more times": {"queuedAt": "2026-11-26T23:59:60Z", "startedAt": "0000-01-01T00:00:00Z", "finishedAt": ""},
    "numbers": {"ttlSecondsAfterFinished": 2**63 - 1, "attempts": [{"number": 2**63 - 1}, {"number": -(2**63)}]},
    "no objects": {"attempts": [None, 3, "x", {}, {"number": None}], "resultRef": {"bytes": 2**63 - 1, "sha256": 7}},
    "other types": {"attempts": {"number": 1}, "reason": 7, "message": ["x"], "queue": {"a": 1}, "duration": 3},
    "texts": {"message": "\x00\ud800" + "m" * 131_072, "reason": "r" * 131_072, "queue": "q" * 131_072},
    "result": {"result": {"\x00\udfff": "\\u0000 \U0001f600 \\\x00", "n": [1e308, 2**64, -(10**300)]}},
}


@pytest.mark.parametrize("kind", ODD_STATUSES)
def test_an_odd_status_is_stored_and_read(shared_stack: Stack, shared_parts: Parts, kind: str) -> None:
    parts, name = shared_parts, kind.replace(" ", "-")
    resource: Json = {
        "metadata": {
            "uid": f"00000000-0000-4000-8000-{list(ODD_STATUSES).index(kind):012d}",
            "name": name,
            "namespace": shared_stack.project,
            "creationTimestamp": now(),
            "resourceVersion": "7",
            "labels": {"a": "b", "c": None},
            "annotations": {"tidegate.dev/requested-by": "x" * 200_000},
        },
        "spec": {
            "task": {"image": "i"},
            "ttlSecondsAfterFinished": 2**63 - 1,
            "batch": "b" * 3000,
            "tags": ["t" * 3000, 7],
        },
        "status": {"phase": "Succeeded"} | ODD_STATUSES[kind],
    }
    record = run_record(resource, default_ttl_seconds=60)
    with parts.engine.begin() as connection:
        assert runs.upsert(connection, [record]) == [record.uid]
        runs.mark_deleted(connection, uids=[record.uid], now=record.created)  # now it is in the index of texts, too
    assert row(parts, name).phase == "Succeeded"
    me = parts.sign_in()
    for path in ("", "/attempts", "/why", "/logs"):
        answer = me.get(f"runs/{name}{path}")
        assert answer.status_code == 200, (path, answer.text)
    assert me.get(f"runs/{name}/result").status_code in (200, 404)
    assert me.get("runs").status_code == 200
    assert me.client.get(f"/projects/{shared_stack.project}/runs/{name}").status_code == 200
    assert me.client.get(f"/projects/{shared_stack.project}/runs").status_code == 200


def test_a_row_that_postgres_refuses_is_set_aside_and_stored_later(stack: Stack, parts: Parts) -> None:
    refuse_rows(parts.engine, "runs", when=REFUSED)
    mirror = stack.mirror(retry_seconds=0.2)
    stack.runs.create("odd", taskRef={"name": "t"}, payload={"a": 1})
    for number in range(3):
        stack.runs.create(f"sound-{number}", taskRef={"name": "t"}, payload={"a": 1})
    for number in range(3):
        until(parts, f"sound-{number}", lambda row: True)
    wait_until(lambda: mirror.set_aside("TaskRun") == 1, what="the metric")
    finish(stack, "odd")
    found = until(parts, "odd", lambda row: row.phase == "Succeeded")
    assert NOT_STORED in found.spec
    accept_rows(parts.engine)
    assert until(parts, "odd", lambda row: row.spec.get("payload") == {"a": 1}).phase == "Succeeded"
    wait_until(lambda: mirror.set_aside("TaskRun") == 0, what="its release")


def test_a_row_that_postgres_refuses_is_set_aside_after_a_restart_too(stack: Stack, parts: Parts) -> None:
    stack.runs.create("odd", taskRef={"name": "t"}, payload={"a": 1})
    stack.runs.create("sound", taskRef={"name": "t"}, payload={"a": 1})
    refuse_rows(parts.engine, "runs", when=REFUSED)
    mirror = stack.mirror()
    until(parts, "sound", lambda row: True)
    until(parts, "odd", lambda row: NOT_STORED in row.spec)
    wait_until(lambda: mirror.set_aside("TaskRun") == 1, what="the metric")
    stack.runs.delete("odd")
    wait_until(
        lambda: mirror.set_aside("TaskRun") == 0 or row(parts, "odd").deleted_at is not None, what="its deletion"
    )
    assert until(parts, "odd", lambda row: row.deleted_at is not None).phase == "Cancelled"


def test_events_of_a_project_that_redis_refuses(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    redis = parts.services.redis
    redis.set(f"tg:history:{stack.project}", "no stream")
    stack.runs.create("first")
    until(parts, "first", lambda row: True)
    wait_until(lambda: parts.rows("SELECT 1 FROM outbox") == [], what="an empty outbox")
    # Its numbers are lost, and begin again below those of the history that is there.
    redis.set(f"tg:seq:{stack.project}", 1)
    stack.runs.create("second")
    wait_until(lambda: row(parts, "second") is not None and parts.rows("SELECT 1 FROM outbox") == [], what="its event")
    assert parts.services.events.last(stack.project) > 1


class Breaks:
    """A handler that breaks with objects of one name."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self.broken = True
        self.seen: list[str] = []
        self.gone: list[str] = []
        self.lists = 0

    def put(self, item: KubeObject, *, listed: bool, retry: Callable[[], None]) -> None:
        name = item["metadata"]["name"]
        if name == "odd" and self.broken:
            raise RecursionError("too deep")
        self.seen.append(name)
        self._quarantine.release("TaskRun", item["metadata"]["uid"])

    def deleted(self, item: KubeObject) -> None:
        self.gone.append(item["metadata"]["name"])

    def listed(self, uids: set[str], resource_version: int) -> None:
        self.lists += 1


def test_an_object_with_which_a_handler_breaks_delays_no_other(stack: Stack) -> None:
    made, stop, clock = stack.services("mirror"), threading.Event(), [0.0]
    gauge = Gauge("set_aside", "Objects that are set aside.", ["kind"], registry=CollectorRegistry())
    quarantine = Quarantine(gauge=gauge, retry_seconds=60, now=lambda: clock[0])
    handler = Breaks(quarantine)
    odd = stack.runs.create("odd")["metadata"]["uid"]
    stack.runs.create("zebra")  # listed after it
    informer = Informer(
        cluster=made.cluster, kind="TaskRun", path_of=runs_path, project=stack.project, handler=handler,
        quarantine=quarantine, stop=stop,
    )  # fmt: skip
    retrier = Retrier(quarantine=quarantine, stop=stop)
    informer.start()
    try:
        wait_until(lambda: handler.seen == ["zebra"] and quarantine.holds("TaskRun", odd), what="the list")
        stack.runs.status("odd", phase="Running")
        stack.runs.create("later")
        wait_until(lambda: "later" in handler.seen, what="the watch to go on")
        assert handler.lists == 1
        handler.broken = False
        clock[0] = 61.0  # it is due
        retrier.start()
        wait_until(lambda: "odd" in handler.seen, what="another try, though it hasn't changed")
        assert not quarantine.holds("TaskRun", odd)
    finally:
        stop.set()
        informer.close()
        informer.join(timeout=120)
    assert informer.trouble() is None


def test_an_audit_row_that_postgres_refuses_holds_up_no_other(stack: Stack, parts: Parts) -> None:
    odd: Json = {
        "actor": ["no text"],
        "address": "",
        "action": {},
        "outcome": "done",
        "project": None,
        "target": None,
        "detail": 7,
    }
    sound = odd | {"actor": "ada", "action": "run.create", "detail": {}}
    at = now()
    for row_of_it in (odd, sound):
        parts.services.redis.rpush(KEY, json.dumps(row_of_it | {"at": at}))
    parts.services.redis.rpush(KEY, b"\xff" + b"[" * 5000)
    assert parts.services.audit.write(parts.engine) == 3
    assert [found.actor for found in parts.rows("SELECT actor FROM audit WHERE action = 'run.create'")] == ["ada"]
    assert parts.services.audit.write(parts.engine) == 0
