"""A function called over HTTP: `?wait=` answers 303 to where the run is answered once it has ended."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
import urllib3
from support.pods import Pod
from support.runs import now
from support.servers import wait_until
from support.web import MirrorThread, Parts, Process, Stack, until

SECONDS = 30
"""As long as a test lets a request wait for what is sure to come."""
ANSWERED = 2 * SECONDS


@dataclass(frozen=True, kw_only=True)
class Client:
    """A pipeline with an API key, at a server of API and streams."""

    url: str
    project: str
    key: str

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def post(self, query: str, body: object, *, follow: bool = True, key: str | None = None) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return requests.post(
            f"{self.url}/api/v1/projects/{self.project}/runs{query}",
            json=body,
            headers=self._headers() | headers,
            allow_redirects=follow,
            timeout=ANSWERED,
        )

    def get(self, run: str, *, follow: bool = True) -> requests.Response:
        return requests.get(
            f"{self.url}/api/v1/projects/{self.project}/runs/{run}",
            headers=self._headers(),
            allow_redirects=follow,
            timeout=ANSWERED,
        )

    def wait(self, run: str, *, seconds: object = SECONDS) -> requests.Response:
        return requests.get(
            f"{self.url}/live/v1/projects/{self.project}/runs/{run}/wait",
            params={"seconds": str(seconds)},
            headers=self._headers(),
            timeout=ANSWERED,
        )


@pytest.fixture
def client(stack: Stack, parts: Parts) -> Iterator[Client]:
    key = parts.key("operator").key
    with parts.served() as url:
        yield Client(url=url, project=stack.project, key=key)


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def ends(stack: Stack, name: str, **status: object) -> None:
    """The end of a run, as the operator writes it."""
    stack.runs.status(name, phase="Succeeded", startedAt=now(), finishedAt=now(), **status)


def waits(parts: Parts, number: int = 1) -> None:
    """Return when so many requests wait."""
    wait_until(lambda: parts.services.hub.streams == number, what=f"{number} requests to wait")


@pytest.mark.quick
def test_a_run_is_created_and_answered_with_its_result(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    body = {"name": "add", "taskRef": {"name": "add"}}
    answered: Future[requests.Response] = background.submit(client.post, f"?wait={SECONDS}", body)
    waits(parts)
    ends(stack, "add", result={"sum": 3})
    answer = answered.result()
    run = answer.json()
    assert [redirect.status_code for redirect in answer.history] == [303]
    assert answer.history[0].json()["name"] == "add"
    assert (answer.status_code, run["name"], run["phase"], run["result"]) == (200, "add", "Succeeded", {"sum": 3})
    waits(parts, 0)


def test_the_redirect_names_the_run_by_its_uid(stack: Stack, parts: Parts, client: Client) -> None:
    made = client.post("?wait=7", {"name": "add", "taskRef": {"name": "add"}}, follow=False)
    asked = client.get("add?wait=7", follow=False)
    uid = stack.runs.get("add")["metadata"]["uid"]
    place = f"/live/v1/projects/{stack.project}/runs/{uid}/wait?seconds=7"
    assert [(answer.status_code, answer.headers["Location"]) for answer in (made, asked)] == [(303, place)] * 2
    assert made.json()["uid"] == asked.json()["uid"] == uid


def test_an_idempotency_key_waits_for_the_run_that_it_meets(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client
) -> None:
    body = {"taskRef": {"name": "add"}}
    name = client.post("", body, key="once").json()["name"]
    ends(stack, name, result=3)
    answer = client.post(f"?wait={SECONDS}", body, key="once")
    assert (answer.json()["name"], answer.json()["result"]) == (name, 3)


def test_a_run_that_has_ended_is_answered_without_an_event(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client
) -> None:
    stack.runs.create("failed")
    stack.runs.status("failed", phase="Failed", reason="Error", message="boom", finishedAt=now())
    until(parts, "failed", lambda row: row.phase == "Failed")
    run = client.get(f"failed?wait={SECONDS}").json()
    assert (run["phase"], run["reason"], run["message"]) == ("Failed", "Error", "boom")
    assert "result" not in run


def test_after_the_time_the_run_is_answered_as_it_then_is(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client
) -> None:
    stack.runs.create("slow")
    until(parts, "slow", lambda row: True)
    answer = client.get("slow?wait=1")
    assert (answer.status_code, answer.json()["phase"]) == (200, "Pending")
    assert "result" not in answer.json()


@pytest.mark.parametrize("seconds", ["0", "61", "-1", "1.5", "soon", ""])
def test_a_time_out_of_bounds_is_refused_and_creates_nothing(
    stack: Stack, parts: Parts, client: Client, seconds: str
) -> None:
    stack.runs.create("there")
    made = client.post(f"?wait={seconds}", {"name": "add", "taskRef": {"name": "add"}})
    assert [made.status_code, client.get(f"there?wait={seconds}").status_code] == [422, 422]
    assert not stack.runs.exists("add")
    assert client.wait("there", seconds=seconds).status_code == 422


def test_a_large_result_is_answered_as_it_was_sent(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    pod = Pod(stack, parts)
    until(parts, "works", lambda row: True)
    answered = background.submit(client.wait, "works")
    waits(parts)
    stored: Any = pod.send("result", b'{"n": 12345678901234567890.10, "text": "\\u0000"}').json
    ends(stack, "works", resultRef=stored)
    answer = answered.result()
    assert b'"result":{"n": 12345678901234567890.10, "text": "\\u0000"}' in answer.content
    assert answer.json()["result"]["text"] == "\x00"


def test_the_end_of_another_run_answers_nothing(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    for name in ("one", "two"):
        stack.runs.create(name)
        until(parts, name, lambda row: True)
    one, two = (background.submit(client.wait, name) for name in ("one", "two"))
    waits(parts, 2)
    ends(stack, "two", result=2)
    assert two.result().json()["result"] == 2
    waits(parts, 1)
    assert not one.done()
    ends(stack, "one", result=1)
    assert one.result().json()["result"] == 1


def test_a_run_that_is_deleted_meanwhile_is_answered_as_the_archive_has_it(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    stack.runs.create("gone")
    until(parts, "gone", lambda row: True)
    answered = background.submit(client.wait, "gone")
    waits(parts)
    stack.runs.delete("gone")
    assert (answered.result().json()["phase"], answered.result().json()["reason"]) == ("Cancelled", "Deleted")


def test_without_redis_the_end_is_found_all_the_same(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    stack.runs.create("quiet")
    until(parts, "quiet", lambda row: True)
    answered = background.submit(client.wait, "quiet")
    waits(parts)
    stack.redis.stop()
    try:
        ends(stack, "quiet", result="still")
        assert answered.result().json()["result"] == "still"
    finally:
        stack.redis.start()


def test_an_end_while_postgres_is_away_is_answered_when_it_is_back(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    stack.runs.create("kept")
    until(parts, "kept", lambda row: True)
    answered = background.submit(client.wait, "kept", seconds=60)
    waits(parts)
    stack.postgres.stop()
    try:
        ends(stack, "kept", result="kept")
    finally:
        stack.postgres.start()
    assert answered.result().json()["result"] == "kept"


def test_a_wait_that_ends_while_postgres_is_away_says_so(
    stack: Stack, parts: Parts, mirror: MirrorThread, client: Client, background: ThreadPoolExecutor
) -> None:
    stack.runs.create("unknown")
    until(parts, "unknown", lambda row: True)
    answered = background.submit(client.wait, "unknown", seconds=1)
    waits(parts)
    stack.postgres.stop()
    try:
        answer = answered.result()
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    finally:
        stack.postgres.start()


def test_a_key_that_is_revoked_meanwhile_reads_no_result(stack: Stack, background: ThreadPoolExecutor) -> None:
    parts = stack.parts("web", stream_recheck_seconds=0.01)
    stack.mirror()
    stack.runs.create("secret")
    until(parts, "secret", lambda row: True)
    key = parts.key("viewer")
    with parts.served() as url:
        answered = background.submit(Client(url=url, project=stack.project, key=key.key).wait, "secret")
        waits(parts)
        assert parts.sign_in().call("DELETE", f"api-keys/{key.id}").status_code == 204
        ends(stack, "secret", result="secret")
        assert answered.result().status_code == 403
        assert "result" not in answered.result().json()


def test_a_run_of_another_project_or_without_a_key_is_not_answered(stack: Stack, parts: Parts, client: Client) -> None:
    place = f"{client.url}/live/v1/projects/{stack.project}/runs/any/wait"
    assert requests.get(place, timeout=ANSWERED).status_code == 401
    elsewhere = Client(url=client.url, project="elsewhere", key=client.key)
    assert elsewhere.wait("any").status_code in (403, 404)
    assert client.wait("missing").status_code == 404


def sessions(parts: Parts) -> list[str]:
    """What each session of the live process in Postgres does."""
    found = parts.rows("SELECT state FROM pg_stat_activity WHERE application_name LIKE 'tidegate-live%'")
    return [session.state for session in found]


def waiting(live: Process) -> float:
    """Requests that wait in a process, and streams."""
    return float(re.findall(r"^tidegate_live_streams (\S+)", live.probe("/metrics")[1], re.MULTILINE)[0])


def test_requests_that_wait_hold_no_thread_and_no_connection(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    """100 of them, in a process with two threads and a pool of six connections."""
    number = 100
    mirror = stack.mirror()
    key = parts.key("viewer").key
    stack.runs.create("slow")
    until(parts, "slow", lambda row: True)
    small: dict[str, Any] = {"threads": 2, "database_pool_size": 6, "namespaces": [stack.project]}
    with stack.process("live", actor="web", log=tmp_path / "log", **small) as live:
        place = f"http://127.0.0.1:{live.port}/live/v1/projects/{stack.project}/runs/slow/wait?seconds=60"
        given_up = Event()
        with urllib3.PoolManager(maxsize=number) as pool, ThreadPoolExecutor(number) as threads:

            def ask() -> tuple[int, Any]:
                """As clients do: again, when the time is over before the run is, or the process is too busy to begin (503)."""
                headers = {"Authorization": f"Bearer {key}"}
                while True:
                    answer = pool.request("GET", place, headers=headers, retries=False, timeout=120)
                    unfinished = answer.status == 503 or (
                        answer.status == 200 and answer.json()["phase"] != "Succeeded"
                    )
                    if not unfinished or given_up.is_set():
                        return answer.status, answer.json().get("result")

            try:
                answers = [threads.submit(ask) for _ in range(number)]
                wait_until(lambda: waiting(live) > 0.9 * number, what="nearly all to wait at once")
                wait_until(lambda: set(sessions(parts)) == {"idle"}, what="no session to be in use")
                assert len(sessions(parts)) < 10
                ends(stack, "slow", result="done")
                assert {answer.result() for answer in answers} == {(200, "done")}
            finally:
                given_up.set()
    mirror.end()
