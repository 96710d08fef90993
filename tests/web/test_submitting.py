"""Runs that code starts: by API key, as children of a run, and straight in the cluster; waited for, read and cancelled."""

import datetime as dt
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.runs import now
from support.scripted import AWAY, Asked, Says, ScriptedWeb
from support.web import MirrorThread, Parts, Stack
from tidegate import ApiError, ConfigurationError, RunFailed, task
from tidegate.client import Client, SubmitManyFailed, connect, run_body
from tidegate.cluster import ClusterClient
from tidegate.manifests import manifest
from tidegate_cluster import programs, settings
from tidegate_cluster.pki import Authority


@task
def resize(n: int) -> None: ...


@pytest.fixture
def url(parts: Parts) -> Iterator[str]:
    with parts.served() as address:
        yield address


@pytest.fixture
def api(parts: Parts, url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The environment of a program with an API key."""
    monkeypatch.setenv("TIDEGATE_API_URL", url)
    monkeypatch.setenv("TIDEGATE_API_KEY", parts.key("operator").key)
    return connect()


@pytest.fixture
def kubeconfig(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a person with kubectl."""
    monkeypatch.setenv(
        "PATH", f"{programs.require(settings=settings.from_environment())}{os.pathsep}{os.environ['PATH']}"
    )
    monkeypatch.setenv("KUBECONFIG", str(stack.plane.kubeconfig()))
    monkeypatch.setenv("TIDEGATE_PROJECT", stack.project)


def succeed(stack: Stack, name: str, **status: Any) -> None:
    stack.runs.status(name, phase="Succeeded", startedAt=now(), finishedAt=now(), **status)


def test_a_run_is_started_waited_for_and_read(stack: Stack, parts: Parts, mirror: MirrorThread, api: Client) -> None:
    handle = resize.submit({"n": 1}, priority=7, tags=["x"], queue="slow", concurrency_key="k")
    made: Any = stack.runs.get(handle.name)
    assert made["metadata"]["uid"] == handle.uid
    spec = {"taskRef": {"name": "resize"}, "payload": {"n": 1}, "priority": 7, "tags": ["x"], "queue": "slow"}
    assert made["spec"].items() >= (spec | {"concurrencyKey": "k"}).items()
    with pytest.raises(TimeoutError, match=f"run {handle.name} is Pending after 3 s"):
        handle.wait(timeout=3)
    succeed(stack, handle.name, result={"resized": 1})
    assert handle.result(timeout=120) == {"resized": 1}


def test_an_exported_task_is_taken_by_the_cluster(stack: Stack) -> None:
    made = manifest(resize, image="registry.example.com/shop:1")
    stack.runs.task(made["metadata"]["name"], **made["spec"])


def test_a_run_can_wait_for_others_by_handle_or_name(stack: Stack, mirror: MirrorThread, api: Client) -> None:
    first = resize.submit({"n": 1})
    joined = resize.submit({"n": 2}, depends_on=[first, "not-made-yet"])
    made: Any = stack.runs.get(joined.name)
    assert made["spec"]["dependsOn"] == [
        {"name": first.name, "when": "Succeeded"},
        {"name": "not-made-yet", "when": "Succeeded"},
    ]


def test_a_run_that_fails_says_why(stack: Stack, parts: Parts, mirror: MirrorThread, api: Client) -> None:
    handle = resize.submit({"n": 1})
    stack.runs.status(handle.name, phase="Failed", reason="Error", message="no way", finishedAt=now())
    with pytest.raises(RunFailed, match=rf"run {handle.name} is Failed \(Error: no way\)"):
        handle.result(timeout=120)
    handle.cancel()  # it has ended: nothing happens


def test_a_key_makes_one_run(stack: Stack, parts: Parts, mirror: MirrorThread, api: Client) -> None:
    first = resize.submit({"n": 1}, idempotency_key="invoice-1")
    again = resize.submit({"n": 1}, idempotency_key="invoice-1")
    assert (again.name, again.uid) == (first.name, first.uid)
    with pytest.raises(ApiError, match="another body"):
        resize.submit({"n": 2}, idempotency_key="invoice-1")


def test_a_key_and_a_delay_make_one_run_with_the_time_of_the_first_call(stack: Stack, api: Client) -> None:
    first = resize.submit({"n": 1}, idempotency_key="invoice-1", delay=3600)
    starts = stack.runs.get(first.name)["spec"]["startAfter"]
    again = resize.submit({"n": 1}, idempotency_key="invoice-1", delay=7200)
    assert (again.name, again.uid) == (first.name, first.uid)
    assert stack.runs.get(first.name)["spec"]["startAfter"] == starts


def test_cancelling_asks_for_the_end(stack: Stack, mirror: MirrorThread, api: Client) -> None:
    handle = resize.submit({"n": 1}, delay=3600)
    made: Any = stack.runs.get(handle.name)
    starts = dt.datetime.fromisoformat(made["spec"]["startAfter"])
    assert abs((starts - dt.datetime.now(dt.UTC)).total_seconds() - 3600) < 60
    handle.cancel()
    assert stack.runs.get(handle.name)["spec"]["cancel"] is True


def test_many_runs_are_one_call_or_a_few(stack: Stack, parts: Parts, mirror: MirrorThread, api: Client) -> None:
    handles = resize.submit_many(({"n": n} for n in range(25)), batch="night")
    assert len({handle.uid for handle in handles}) == 25
    names = {run["name"]: run for run in _listed(parts, "runs?batch=night")}
    assert set(names) == {handle.name for handle in handles}
    assert stack.runs.get(handles[24].name)["spec"]["payload"] == {"n": 24}


def _listed(parts: Parts, path: str) -> list[Any]:
    answer: Any = parts.sign_in().get(path).json
    return list(answer["items"])


def test_of_many_the_refused_are_reported_and_the_made_are_handed_out(api: Client) -> None:
    bodies = [{"name": "twice", "taskRef": {"name": "resize"}}, {"name": "other", "taskRef": {"name": "resize"}}]
    api.submit(bodies[0])
    with pytest.raises(SubmitManyFailed, match="1 of 2 runs were not made; number 0") as caught:
        api.submit_many(bodies)
    assert [handle and handle.name for handle in caught.value.handles] == [None, "other"]


def test_a_run_whose_answer_was_lost_is_not_made_twice(
    stack: Stack, parts: Parts, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def forward(request: Asked) -> Says:
        with urllib3.PoolManager() as pool:
            got = pool.request(request.method, url + request.path, body=request.body, headers=request.headers)
        asked.append(request.method)
        lost = request.method == "POST" and asked.count("POST") == 1
        return Says(got.status, got.json(), lost=lost)

    key = parts.key("operator").key
    with ScriptedWeb(forward) as web:
        client = connect(url=web.url, key=key, project=stack.project)
        handles = [client.submit({"name": "a", "taskRef": {"name": "resize"}})]
        asked.clear()
        handles += client.submit_many([{"name": "b", "taskRef": {"name": "resize"}}])
    assert [handle.name for handle in handles] == ["a", "b"]
    assert asked == ["POST", "POST", "GET"]


def test_a_name_that_another_run_has_is_reported_also_after_a_lost_answer() -> None:
    other = {"name": "a", "uid": "u", "phase": "Pending", "spec": {"taskRef": {"name": "resize"}, "payload": {"n": 2}}}
    answers = [AWAY, Says(409, {"detail": "it exists"}), Says(200, other)]
    with ScriptedWeb(lambda _: answers.pop(0)) as web, pytest.raises(ApiError, match="it exists"):
        connect(url=web.url, key="tg_x", project="p").submit(run_body("resize", {"n": 1}, name="a"))


def test_a_web_part_that_is_away_for_a_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"name": "a", "uid": "u", "phase": "Pending"}
    answers = [AWAY, Says(429, None, {"Retry-After": "0"}), Says(201, run), AWAY, Says(200, run | {"phase": "Skipped"})]
    with ScriptedWeb(lambda _: answers.pop(0)) as web:
        handle = connect(url=web.url, key="tg_x", project="p").submit({"name": "a"})
        assert handle.wait(timeout=120).phase == "Skipped"


def test_a_certificate_that_is_not_trusted_is_said_at_once(stack: Stack) -> None:
    with pytest.raises(ApiError, match="is not trusted"):
        connect(url=stack.plane.url, key="tg_x", project="p").submit({"name": "a"})


def test_the_backend_must_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TIDEGATE_API_URL", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="set TIDEGATE_API_URL and TIDEGATE_API_KEY, or have kubectl"):
        resize.submit()
    with pytest.raises(ConfigurationError, match="no API key"):
        connect(url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"delay": 1, "start_after": dt.datetime(2027, 1, 1, tzinfo=dt.UTC)}, "not both"),
        ({"start_after": dt.datetime(2027, 1, 1)}, "time zone"),  # noqa: DTZ001
        ({"name": "n", "idempotency_key": "k"}, "the key names the run"),
    ],
)
def test_wishes_that_contradict_each_other(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resize.submit({"n": 1}, **wishes)


def test_without_an_api_runs_go_straight_to_the_cluster(stack: Stack, kubeconfig: None) -> None:
    handle = resize.submit({"n": 1}, idempotency_key="a", delay=60)
    again = resize.submit({"n": 1}, idempotency_key="a", delay=90)
    assert (handle.name, handle.uid) == (again.name, again.uid)
    with pytest.raises(ApiError, match="another payload"):
        resize.submit({"n": 2}, idempotency_key="a")
    succeed(stack, handle.name, result=[1])
    assert handle.result(timeout=120) == [1]
    many = resize.submit_many([{"n": 1}, {"n": 2}])
    many[1].cancel()
    assert [stack.runs.get(run.name)["spec"]["cancel"] for run in many] == [False, True]
    with pytest.raises(ApiError, match="priority"):
        resize.submit(priority=9999)


def test_a_cluster_whose_answer_was_lost_makes_no_second_run(stack: Stack, kubeconfig: None) -> None:
    lost = [True]

    def forward(request: Asked) -> Says:
        headers = {"Authorization": request.headers["Authorization"], "Content-Type": request.headers["Content-Type"]}
        with urllib3.PoolManager(ca_certs=str(stack.plane.ca_file)) as pool:
            url = stack.plane.url + request.path
            got = pool.request(request.method, url, body=request.body, headers=headers, retries=False)
        return Says(got.status, got.json(), lost=bool(lost) and lost.pop())

    with ScriptedWeb(forward) as web:
        token = f"Bearer {stack.plane.token()}"
        client = ClusterClient(web.url, namespace=stack.project, authorization=lambda: token)
        handle = client.submit(run_body("resize", {"n": 1}))
        assert stack.runs.exists(handle.name)
        assert [asked.method for asked in web.asked] == ["POST", "POST", "GET"]


def test_a_credential_plugin_of_the_kubeconfig_is_asked(
    stack: Stack, kubeconfig: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": stack.plane.token()}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n", encoding="utf-8")
    plugin.chmod(0o755)
    run = {"apiVersion": version, "command": str(plugin), "interactiveMode": "Never"}
    cluster = {"server": stack.plane.url, "certificate-authority": str(stack.plane.ca_file)}
    config = write_kubeconfig(tmp_path, cluster=cluster, user={"exec": run}, namespace=stack.project)
    monkeypatch.setenv("KUBECONFIG", config)
    monkeypatch.delenv("TIDEGATE_PROJECT")
    assert stack.runs.exists(resize.submit({"n": 1}).name)
    plugin.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"credential plugin .* gave nothing"):
        resize.submit({"n": 1})


def test_a_pod_with_an_account_needs_no_kubeconfig(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("token", stack.plane.token()),
        ("namespace", stack.project),
        ("ca.crt", stack.plane.ca_file.read_text(encoding="ascii")),
    ):
        (tmp_path / name).write_text(text, encoding="ascii")
    host, _, port = stack.plane.url.removeprefix("https://").partition(":")
    monkeypatch.setattr("tidegate.cluster.ACCOUNT", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    assert stack.runs.exists(resize.submit({"n": 1}).name)


def test_a_client_certificate_of_the_kubeconfig_is_shown(
    kubeconfig: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(directory=tmp_path / "pki")
    authority.create()
    server = authority.issue(name="server", subject="/CN=server", names=["IP:127.0.0.1"])
    person = authority.issue(name="person", subject="/CN=ada")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(server.certificate, server.key)
    made = Says(201, {"metadata": {"name": "a", "uid": "u"}})
    with ScriptedWeb(lambda _: made, context=context) as web:
        cluster = {"server": web.url, "certificate-authority": str(authority.ca)}
        user = {"client-certificate": str(person.certificate), "client-key": str(person.key)}
        monkeypatch.setenv("KUBECONFIG", write_kubeconfig(tmp_path, cluster=cluster, user=user))
        assert resize.submit({"n": 1}).uid == "u"
        assert "Authorization" not in web.asked[0].headers


def write_kubeconfig(folder: Path, *, cluster: dict[str, Any], user: dict[str, Any], **context: str) -> str:
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", **context}}],
    }
    path = folder / "config"
    path.write_text(json.dumps(written), encoding="utf-8")
    return str(path)


def test_a_key_means_the_same_run_with_and_without_the_api(
    stack: Stack, parts: Parts, url: str, kubeconfig: None
) -> None:
    made = resize.submit({"n": 1}, idempotency_key="a")
    client = connect(url=url, key=parts.key("operator").key)
    found = client.submit({"taskRef": {"name": "resize"}, "payload": {"n": 1}, "idempotencyKey": "a"})
    assert (found.name, found.uid) == (made.name, made.uid)
