"""Which image and spec an attempt ran, reported also when its Job and its Task are gone."""

import html
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.callers import SignedIn, WithKey
from support.kubelet import Kubelet
from support.runs import Json, now
from support.servers import wait_until
from support.web import Parts, Stack, finish, make_quarantine, until
from tidegate_api.job_names import job_name
from tidegate_api.spec_hash import spec_hash
from tidegate_operator.manifests.job import encode_spec
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.shared.clock import SystemClock
from tidegate_web.shared.task_spec import encoded, spec_of_job
from tidegate_web.store.queries import project_settings, results, task_specs

SPEC: Json = {
    "image": "pictures:1",
    "env": [
        {"name": "MODE", "value": "s3cret"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    ],
    "podTemplate": {"spec": {"initContainers": [{"name": "x", "env": [{"name": "TOKEN", "value": "t0ken"}]}]}},
    "args": ["ä", "<b>"],
}
RAN = {
    "image": "pictures:1",
    "imageID": "registry.example/pictures@sha256:" + "ab" * 32,
    "specHash": spec_hash(SPEC),
}


@pytest.fixture
def kubelet(stack: Stack, tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as made:
        yield made


def specs(parts: Parts) -> dict[str, Any]:
    return {row.hash: json.loads(row.spec) for row in parts.rows("SELECT hash, spec FROM task_specs")}


def seen(stack: Stack, kubelet: Kubelet, name: str, *, task: str | None, text: str) -> Json:
    """A run with a pod that has written a line, and a Job with this text for its spec."""
    run = stack.runs.create(name, **({"taskRef": {"name": task}} if task else {"task": {"image": "busybox"}}))
    uid = run["metadata"]["uid"]
    pod = f"{job_name(name, uid, 1)}-pod"
    stack.runs.pod(pod, owner=stack.runs.job(run, task=task, task_spec=text), run_uid=uid, node=kubelet.name)
    stack.runs.pod_state(pod)
    kubelet.log(pod).write(b"one\n")
    return run


def page_of(parts: Parts, name: str, *, role: str = "operator") -> str:
    """The text of a run's page."""
    answer = parts.member(role, email=f"{role}-{name}@example.com").get(f"/projects/{parts.project}/runs/{name}")
    assert answer.status_code == 200
    return html.unescape(re.sub(r"<[^>]+>", "", answer.text))


@pytest.mark.parametrize(
    "spec", [{}, SPEC, {"b": 1, "a": {"d": [1.5, None, True], "c": "\u2028 \U0001f600"}}, {"x": "\ud800", "y": "\x00"}]
)
def test_the_hash_is_that_of_the_operator(spec: Json) -> None:
    assert encoded(spec).hash == spec_hash(spec)
    assert encoded(spec).text.isascii()
    assert "\\u0000" not in encoded(spec).text


@pytest.mark.parametrize("text", [None, "", "[", "[]", "1", '{"a":' * 600 + "1" + "}" * 600, '{"a":' * 20_000])
def test_an_annotation_that_is_no_spec_is_none(text: str | None) -> None:
    annotations = {} if text is None else {"tidegate.dev/task-spec": text}
    assert spec_of_job(annotations) is None


def test_image_and_spec_of_a_run_of_a_task_are_reported_when_both_are_gone(
    stack: Stack, parts: Parts, kubelet: Kubelet
) -> None:
    stack.mirror(keep_pods_seconds=0)
    run = seen(stack, kubelet, "resize", task="pictures", text=encode_spec(SPEC))
    wait_until(lambda: bool(specs(parts)), what="the spec")
    job = job_name("resize", run["metadata"]["uid"], 1)
    stack.runs.delete_pod(f"{job}-pod")
    finish(stack, "resize", ttl=0, attempts=[{"number": 1, "jobName": job, "outcome": "Succeeded", **RAN}])
    until(parts, "resize", lambda row: row.deleted_at is not None)
    assert specs(parts) == {RAN["specHash"]: SPEC}
    answer: Any = parts.member("viewer").get("runs/resize/attempts").json
    (attempt,) = answer["items"]
    assert {name: attempt[name] for name in RAN} == RAN
    text = page_of(parts, "resize")
    for part in (*RAN.values(), "Task spec", "pictures:1", "s3cret", "t0ken", "secretKeyRef", "<b>", "ä"):
        assert str(part) in text, part


def test_viewers_do_not_see_literal_values_of_the_environment(stack: Stack, parts: Parts) -> None:
    stack.runs.create("kept", taskRef={"name": "pictures"})
    stack.runs.status("kept", phase="Running", startedAt=now(), attempts=[{"number": 1, **RAN}])
    with parts.engine.begin() as connection:
        kept = encoded(SPEC)
        task_specs.keep(connection, project=stack.project, spec_hash=kept.hash, spec=kept.text, now=datetime.now(UTC))
    stack.runs.create("inline", task={"image": "pictures:1", "env": SPEC["env"]})
    for name, secrets in (("kept", ("s3cret", "t0ken")), ("inline", ("s3cret",))):
        shown = {role: page_of(parts, name, role=role) for role in ("viewer", "operator")}
        for secret in secrets:
            assert secret in shown["operator"], name
            assert secret not in shown["viewer"], name
        assert "(hidden)" in shown["viewer"]
        assert "MODE" in shown["viewer"]
        assert "(hidden)" not in shown["operator"]


def test_viewers_do_not_get_them_over_the_api_either(stack: Stack, parts: Parts) -> None:
    env = [
        {"name": "MODE", "value": "s3cret"},
        {"name": "SAFE", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}},
    ]
    run: Json = {"task": {"image": "x", "env": env}, "env": [{"name": "OWN", "value": "s3cret"}]}
    stack.runs.create("inline", **run, payload={"env": [{"name": "kept", "value": "payload"}]})
    stack.runs.task("pictures", image="x", env=env)
    stack.runs.schedule("nightly", template={"spec": run})
    stack.runs.pool("warm", image="x", env=env)
    kinds = ("tasks", "schedules", "pools")
    paths = ("runs/inline", "tasks/pictures", "schedules/nightly", "pools/warm", *kinds)
    asks: dict[str, SignedIn | WithKey] = {
        "viewer": parts.member("viewer"),
        "viewer's key": parts.key("viewer"),
        "operator": parts.member("operator"),
    }
    for path in paths:
        shown = {role: each.get(path).text for role, each in asks.items()}
        assert "s3cret" in shown["operator"], path
        for role in ("viewer", "viewer's key"):
            assert "s3cret" not in shown[role], (role, path)
            assert "(hidden)" in shown[role]
            assert "secretKeyRef" in shown[role]
    read: Any = asks["viewer"].get("runs/inline").json
    assert read["spec"]["payload"] == {"env": [{"name": "kept", "value": "payload"}]}


def test_viewers_do_not_get_them_with_the_status_of_a_run_in_a_pool(stack: Stack, parts: Parts) -> None:
    frozen = {"pool": "warm", "entrypoint": "a:b", "env": [{"name": "MODE", "value": "s3cret"}]}
    stack.runs.create("warm", taskRef={"name": "pictures"})
    stack.runs.status("warm", phase="Succeeded", finishedAt=now(), resolvedTask=frozen, result={"env": "kept"})
    paths = ("runs/warm", f"/live/v1/projects/{stack.project}/runs/warm/wait?seconds=1")
    viewer, operator = parts.member("viewer"), parts.member("operator")
    for path in paths:
        assert "s3cret" in operator.get(path).text, path
        answer = viewer.get(path)
        assert "s3cret" not in answer.text, path
        read: Any = answer.json
        assert read["status"]["resolvedTask"]["env"] == [{"name": "MODE", "value": "(hidden)"}]
        assert read["status"]["result"] == {"env": "kept"}


def test_a_spec_of_another_project_is_not_shown(stack: Stack, parts: Parts) -> None:
    stack.runs.create("nosy", taskRef={"name": "pictures"})
    stack.runs.status("nosy", phase="Running", startedAt=now(), attempts=[{"number": 1, **RAN}])
    with parts.engine.begin() as connection:
        task_specs.keep(connection, project="elsewhere", spec_hash=spec_hash(SPEC), spec="{}", now=datetime.now(UTC))
    assert "Task spec" not in page_of(parts, "nosy")


def test_the_spec_of_a_job_whose_pod_was_never_seen_is_kept_before_it_is_deleted(stack: Stack, parts: Parts) -> None:
    run = stack.runs.create("unseen", taskRef={"name": "pictures"})
    job = stack.runs.job(run, task="pictures", task_spec=encode_spec(SPEC))["metadata"]["name"]
    stack.mirror(keep_pods_seconds=0)
    finish(stack, "unseen", attempts=[{"number": 1, "jobName": job, "outcome": "Failed"}])
    wait_until(lambda: not stack.runs.job_exists(job), what="the end of the Job")
    assert specs(parts) == {RAN["specHash"]: SPEC}


def test_specs_are_kept_of_tasks_alone_and_odd_ones_hold_up_no_log(
    stack: Stack, parts: Parts, kubelet: Kubelet
) -> None:
    stack.mirror()
    odd = '{"image":"\\ud800\\u0000","z":1}'
    seen(stack, kubelet, "inline", task=None, text=encode_spec(SPEC))
    seen(stack, kubelet, "broken", task="pictures", text="[")
    seen(stack, kubelet, "odd", task="pictures", text=odd)
    wait_until(lambda: parts.rows("SELECT count(DISTINCT run_uid) FROM log_chunks")[0][0] == 3, what="all logs")
    assert specs(parts) == {spec_hash(json.loads(odd)): {"image": "\ufffd\ufffd", "z": 1}}


def test_a_spec_goes_with_the_last_run_that_used_it(stack: Stack, parts: Parts) -> None:
    stack.runs.create("uses-it", taskRef={"name": "pictures"})
    stack.runs.status("uses-it", phase="Running", attempts=[{"number": 1}, {"number": 2, "specHash": "used"}])
    assert parts.sign_in().get("runs/uses-it").status_code == 200
    today, early = datetime.now(UTC), datetime(2026, 1, 1, tzinfo=UTC)
    with parts.engine.begin() as connection:
        for project, spec_hash, at in (
            (stack.project, "used", early),
            (stack.project, "unused", early),
            (stack.project, "late", today),
            ("elsewhere", "unused", early),
        ):
            task_specs.keep(connection, project=project, spec_hash=spec_hash, spec="{}", now=at)
        project_settings.set_retention_days(connection, project=stack.project, days=1)
    quarantine, stop = make_quarantine(), threading.Event()
    Pruner(
        engine=parts.engine,
        clock=SystemClock(),
        quarantine=quarantine,
        stop=stop,
        seconds=1,
        audit_days=0,
        retention_days=0,
    ).look()
    found = {(row.project, row.hash) for row in parts.rows("SELECT project, hash FROM task_specs")}
    assert found == {(stack.project, "used"), (stack.project, "late"), ("elsewhere", "unused")}


def test_a_stored_result_is_linked_with_its_size_and_opened_as_nothing_but_json(stack: Stack, parts: Parts) -> None:
    uid = stack.runs.create("large", taskRef={"name": "pictures"})["metadata"]["uid"]
    data = b'"<script>alert(1)</script>' + b"x" * (3 * 2**19) + b'"'
    with parts.engine.begin() as connection:
        kept = results.save(connection, project=stack.project, run_uid=uid, attempt=1, data=data, at=datetime.now(UTC))
    reference = {"bytes": kept.bytes, "sha256": kept.sha256}
    stack.runs.status("large", phase="Succeeded", finishedAt=now(), resultRef=reference)
    me, address = parts.member("viewer"), f"/api/v1/projects/{stack.project}/runs/{uid}/result"
    page = me.get(f"/projects/{stack.project}/runs/large").text
    found = re.search(rf'<a [^>]*href="{address}" download="large\.json">.*?</a>', page)
    assert found is not None
    assert "1.5 MiB" in found[0]
    assert f"sha256:{kept.sha256}" in page
    answer = me.get(address)
    assert answer.data == data
    assert (answer.mimetype, answer.headers["X-Content-Type-Options"]) == ("application/json", "nosniff")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
