"""The command `tidegate` by the HTTP API with a key, against the real web app; and logs, by either way."""

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Command
from support.kubelet import Kubelet
from support.runs import Json
from support.servers import wait_until
from support.web import Parts, Stack, finish, until
from tidegate_api.job_names import job_name


@pytest.fixture
def url(parts: Parts) -> Iterator[str]:
    """The web app's address."""
    with parts.served() as made:
        yield made


@pytest.fixture
def tidegate(parts: Parts, url: str, tmp_path: Path) -> Command:
    """The command of a pipeline that may do everything but administer."""
    return Command(tmp_path, TIDEGATE_API_URL=url, TIDEGATE_API_KEY=parts.key("developer").key)


@pytest.fixture
def kubelet(stack: Stack, tmp_path: Path) -> Iterator[Kubelet]:
    """A node with logs."""
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as made:
        yield made


def pod_of(stack: Stack, kubelet: Kubelet, run: Json, attempt: int = 1) -> str:
    """A pod of a run, as the operator would have it made, that runs."""
    name, uid = run["metadata"]["name"], run["metadata"]["uid"]
    pod = f"{job_name(name, uid, attempt)}-pod"
    stack.runs.pod(pod, owner=stack.runs.job(run, attempt), run_uid=uid, node=kubelet.name)
    stack.runs.pod_state(pod)
    return pod


def wait_shown(parts: Parts, name: str, phase: str) -> None:
    """Until Postgres has the run in that phase."""
    until(parts, name, lambda row: row.phase == phase)


def test_a_login_keeps_the_key_in_a_file_for_its_owner_alone(parts: Parts, url: str, tmp_path: Path) -> None:
    tidegate = Command(tmp_path)
    reported = tidegate.ok("login", url + "/", stdin=parts.key("viewer").key + "\n").err
    assert reported == f"logged in to {url}, project {parts.project}\n"
    file = tmp_path / ".config/tidegate/login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert tidegate.ok("ls").err == f"no such runs in {parts.project}\n"
    assert tidegate.ok("open", "--print").out == f"{url}/projects/{parts.project}/runs\n"
    file.chmod(0o644)
    assert "chmod 600" in tidegate("ls").fault
    assert tidegate.ok("logout").err == "logged out\n"
    assert not file.exists()


def test_a_key_that_is_refused_is_not_kept(parts: Parts, url: str, tmp_path: Path) -> None:
    tidegate = Command(tmp_path)
    assert "doesn't take the key" in tidegate("login", url, stdin="tg_wrong\n").fault
    assert "this is no key" in tidegate("login", url, stdin="\n").fault
    assert "has no role in other" in tidegate("login", url, "-n", "other", stdin=parts.key("viewer").key).fault
    assert "looks like https://" in tidegate("login", "tidegate.example.com", stdin="tg_x").fault
    assert not (tmp_path / ".config").exists()


@pytest.mark.quick
def test_a_run_is_made_watched_and_shown_with_its_progress(
    stack: Stack, parts: Parts, tidegate: Command, kubelet: Kubelet
) -> None:
    stack.mirror()
    stack.runs.task("resize", image="busybox")
    with tidegate.start("run", "resize", "--payload", '{"a": 1}', "--name", "watched", "--watch") as command:
        command.has_said("watched Pending")
        run = stack.runs.get("watched")
        assert run["spec"]["payload"] == {"a": 1}
        pod = pod_of(stack, kubelet, run)
        stack.runs.status("watched", phase="Running", attempts=[{"number": 1, "podName": pod}])
        command.has_said("watched Running")
        pod_object = stack.runs.kube.get("pods", pod)
        headers = {"Authorization": f"Bearer {stack.runs.token(pod_object)}"}
        body = {"progress": 0.4, "message": "harbour.jpg"}
        path = f"/internal/v1/runs/{run['metadata']['uid']}/progress"
        assert parts.pods().post(path, json=body, headers=headers).status_code < 300
        command.has_said("watched Running 40% harbour.jpg")
        finish(stack, "watched")
        ended = command.ended()
    assert (ended.code, ended.out.startswith("watched Succeeded")) == (0, True)


def test_the_exit_code_of_wait_is_the_runs(stack: Stack, parts: Parts, tidegate: Command) -> None:
    stack.mirror()
    for name, phase in (("good", "Succeeded"), ("bad", "Failed"), ("slow", "Running")):
        stack.runs.create(name)
        stack.runs.status(name, phase=phase)
        wait_shown(parts, name, phase)
    assert tidegate("wait", "good").code == 0
    assert tidegate("wait", "good", "bad").code == 1
    assert tidegate("wait", "slow", "--timeout", "1s").code == 124
    with tidegate.start("wait", "slow") as command:
        command.has_said("slow Running")
        assert command.interrupt().ended().code == 130


def test_live_updates_that_are_away_are_done_without(stack: Stack, parts: Parts, tidegate: Command) -> None:
    stack.mirror()
    stack.runs.create("plain")
    wait_shown(parts, "plain", "Pending")
    stack.redis.stop()
    with tidegate.start("wait", "plain") as command:
        command.has_said("plain Pending")
        finish(stack, "plain")
        assert command.ended().code == 0


def test_acts_and_definitions_go_over_http_too(stack: Stack, parts: Parts, tidegate: Command, tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text("apiVersion: tidegate.dev/v1alpha1\nkind: Task\nmetadata: {name: resize}\nspec: {image: busybox}\n")
    assert tidegate.ok("tasks", "apply", "-f", str(file)).out == "resize created\n"
    assert tidegate.ok("tasks", "apply", "-f", str(file)).out == "resize replaced\n"
    stack.runs.queue("gate")
    stack.runs.schedule("nightly", cron="0 0 29 2 *")
    assert tidegate.ok("queues", "pause", "gate").out == "gate paused\n"
    assert tidegate.ok("queues", "ls", "-o", "json").json["items"][0]["spec"]["paused"] is True
    stack.runs.pool("models", image="models:1.4", preload=["app.models"], replicas=2)
    condition = {"type": "Ready", "status": "False", "reason": "ErrImagePull", "message": "no such image"}
    stack.runs.pool_status("models", readyReplicas=1, slots=4, busy=3, waiting=7, conditions=[condition])
    listed = tidegate.ok("pools", "ls", "-o", "wide").out.splitlines()
    assert listed[1].split()[:6] == ["models", "1/2", "4", "3", "7", "models:1.4"]
    assert listed[1].endswith("ErrImagePull: no such image")
    shown = tidegate.ok("pools", "show", "models").out
    for line in ("Workers:    1/2 ready", "Imports:    app.models", "Not ready:  ErrImagePull: no such image"):
        assert line in shown
    assert tidegate("pools", "show", "none").code not in (0, 2)
    assert tidegate.ok("schedules", "suspend", "nightly").out == "nightly suspended\n"
    assert tidegate.ok("schedules", "trigger", "nightly").out.startswith("nightly-m")
    last_year = ("--since", "2024-01-01T00:00:00Z", "--until", "2025-01-01T00:00:00Z")
    assert tidegate.ok("schedules", "backfill", "nightly", *last_year, "--dry-run").out == "2024-02-29T00:00:00Z\n"
    started = tidegate.ok("schedules", "backfill", "nightly", *last_year).out
    assert started.startswith("1 run started in batch nightly-backfill-")
    again = tidegate.ok("schedules", "backfill", "nightly", *last_year, "-o", "json").json
    assert (again["started"], again["there"]) == (0, 1)
    first = tidegate.ok("run", "resize", "--idempotency-key", "k", "--tag", "red", "-o", "name").out
    assert tidegate.ok("run", "resize", "--idempotency-key", "k", "--tag", "red", "-o", "name").out == first
    assert tidegate.ok("ls", "--tag", "red", "--task", "resize", "-o", "name").out == first
    name = first.strip()
    assert tidegate.ok("replay", name, "--name", "again").out == "again created\n"
    assert tidegate.ok("suspend", name, "again").out == f"{name} suspended\nagain suspended\n"
    assert stack.runs.get("again")["spec"]["suspend"] is True
    assert tidegate.ok("resume", name, "-o", "json").json["spec"]["suspend"] is False
    assert tidegate.ok("cancel", name).out == f"{name} is to be cancelled\n"
    uid = tidegate.ok("show", name, "-o", "json").json["uid"]
    assert tidegate.ok("open", name, "--print").out == f"{tidegate.environment['TIDEGATE_API_URL']}/projects/{stack.project}/runs/{uid}\n"  # fmt: skip
    assert "Waits for" in tidegate.ok("show", "again").out


def test_shells_complete_names(stack: Stack, parts: Parts, tidegate: Command) -> None:
    stack.mirror()
    stack.runs.schedule("nightly", cron="0 0 29 2 *")
    for name in ("one", "other", "two"):
        stack.runs.create(name)
    stack.runs.status("one", phase="Succeeded", finishedAt="2026-11-24T12:00:00Z")
    wait_shown(parts, "one", "Succeeded")
    wait_shown(parts, "two", "Pending")
    tidegate.completes("tidegate show ", ["one", "other", "two"])
    tidegate.completes("tidegate show o", ["one", "other"])
    tidegate.completes("tidegate cancel o", ["other"])
    tidegate.completes("tidegate schedules trigger ", ["nightly"])
    assert tidegate.completed("tidegate show o", TIDEGATE_API_KEY="tg_wrong") == []


def test_both_backends_show_a_run_alike(stack: Stack, parts: Parts, tidegate: Command, tmp_path: Path) -> None:
    stack.mirror()
    stack.runs.create("same", labels={"team": "blue"}, task={"image": "busybox"}, tags=["red"], priority=3)
    finish(stack, "same", attempts=[{"number": 1, "outcome": "Succeeded", "exitCode": 0}])
    wait_shown(parts, "same", "Succeeded")
    by_cluster = Command(tmp_path, KUBECONFIG=str(stack.plane.kubeconfig()))
    shown = by_cluster.ok("show", "same", "-n", stack.project, "-o", "json").json
    reported = tidegate.ok("show", "same", "-o", "json").json
    assert shown.keys() == reported.keys()
    assert {name: value for name, value in shown.items() if reported[name] != value} == {}
    assert by_cluster.ok("ls", "-n", stack.project, "-o", "json").json == tidegate.ok("ls", "-o", "json").json


@pytest.mark.parametrize("way", ["api", "kubernetes"])
def test_logs_are_printed_and_followed_to_the_end_of_the_run(
    stack: Stack, parts: Parts, tidegate: Command, kubelet: Kubelet, tmp_path: Path, way: str
) -> None:
    stack.mirror()
    command = tidegate if way == "api" else Command(tmp_path, KUBECONFIG=str(stack.plane.kubeconfig()))
    run = stack.runs.create("talks")
    pod = pod_of(stack, kubelet, run)
    stack.runs.status(
        "talks", phase="Running", attempts=[{"number": 1, "podName": pod, "startedAt": "2026-11-25T00:00:00Z"}]
    )
    wait_shown(parts, "talks", "Running")
    kubelet.log(pod).write("eins\nzwei ä\n".encode())
    wait_until(lambda: bool(parts.rows("SELECT 1 FROM log_chunks")), what="the first chunk")
    with command.start("logs", "talks", "--follow", "-n", stack.project) as following:
        following.has_said("zwei ä")
        kubelet.log(pod).write(b"drei\n", close=True)
        following.has_said("drei")
        stack.runs.pod_state(pod, exit_code=0)
        finish(stack, "talks", attempts=[{"number": 1, "podName": pod, "startedAt": "2026-11-25T00:00:00Z"}])
        ended = following.ended()
    assert (ended.code, ended.out, ended.err) == (0, "eins\nzwei ä\ndrei\n", "")
    assert command.ok("logs", "talks", "-n", stack.project).out == "eins\nzwei ä\ndrei\n"
    assert "--attempt" in command("logs", "talks", "-n", stack.project, "--attempt", "0").fault


def test_a_log_that_is_cut_off_leaves_the_terminal_as_it_was(
    stack: Stack, parts: Parts, tidegate: Command, kubelet: Kubelet
) -> None:
    stack.mirror()
    run = stack.runs.create("colours")
    pod = pod_of(stack, kubelet, run)
    stack.runs.status("colours", phase="Running", attempts=[{"number": 1, "podName": pod}])
    wait_shown(parts, "colours", "Running")
    kubelet.log(pod).write(b"\x1b[?25l\x1b[31mred\n")
    with tidegate.start_on_terminal("logs", "-f", "colours") as terminal:
        code, seen = terminal.has_shown("red").signal(signal.SIGTERM).ended()
    assert code == 128 + signal.SIGTERM
    assert seen.endswith("\x1b[m\x1b[?25htidegate: SIGTERM; colours goes on\r\n")


def test_a_pod_that_only_has_a_runs_labels_is_not_read(stack: Stack, kubelet: Kubelet, tmp_path: Path) -> None:
    run = stack.runs.create("honest")
    stack.runs.pod("forged", owner=None, run_uid=run["metadata"]["uid"], node=kubelet.name)
    stack.runs.pod_state("forged")
    kubelet.log("forged").write(b"not yours\n")
    command = Command(tmp_path, KUBECONFIG=str(stack.plane.kubeconfig()))
    assert "has no pod with a log" in command("logs", "honest", "-n", stack.project).fault


def test_refusals_are_one_line(stack: Stack, parts: Parts, url: str, tmp_path: Path) -> None:
    stack.runs.task("resize", image="busybox", payloadSchema={"type": "object", "required": ["a"]})
    reader = Command(tmp_path, TIDEGATE_API_URL=url, TIDEGATE_API_KEY=parts.key("viewer").key)
    assert "the key may not do this" in reader("run", "resize").fault
    assert "There is no such run in project" in reader("show", "nobody").fault
    assert "there is no Task nothing" in reader("run", "nothing").fault
    worker = Command(tmp_path, TIDEGATE_API_URL=url, TIDEGATE_API_KEY=parts.key("operator").key)
    assert "required property" in worker("run", "resize").fault
    assert "doesn't answer" in reader("ls", TIDEGATE_API_URL="http://127.0.0.1:9").fault
    assert "set both" in reader("ls", TIDEGATE_API_KEY="").fault
    assert "is no address of Tidegate" in reader("ls", TIDEGATE_API_URL="tidegate.example.com").fault
