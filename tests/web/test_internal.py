"""Progress from pods: a real TokenReview of a real bound token, and the way from pod to run by ownership alone."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.pods import Pod
from support.proxy import FaultyProxy
from support.runs import Json
from support.servers import wait_until
from support.web import Parts, Stack, make_parts
from tidegate_api.job_names import job_name
from tidegate_web.auth.parts import REFUSED_TOKENS
from tidegate_web.auth.run_tokens import RunTokens


@pytest.fixture
def pod(stack: Stack, parts: Parts) -> Pod:
    return Pod(stack, parts)


@pytest.fixture(scope="module")
def shared_pod(shared_stack: Stack, shared_parts: Parts) -> Pod:
    return Pod(shared_stack, shared_parts)


@pytest.mark.quick
def test_progress_is_kept_and_published(stack: Stack, parts: Parts, pod: Pod) -> None:
    assert pod.report({"progress": 0.4, "message": "resizing"}).status_code == 204
    first = parts.services.events.last(stack.project)
    assert pod.report({"progress": 0.5}).status_code == 204
    wait_until(lambda: parts.services.events.last(stack.project) > first, what="the second value")
    run: Any = parts.sign_in().get("runs/works").json
    assert (run["progress"], run["progressMessage"]) == (0.5, "resizing")
    attempts: Any = parts.sign_in().get("runs/works/attempts").json
    assert attempts["items"] == [{"number": 1, "progress": 0.5, "progressMessage": "resizing"}]
    published = parts.services.events.after(stack.project, first)
    assert published is not None
    assert '"progress":0.5' in published[0][1]
    assert parts.services.redis.ttl(f"tg:progress:{pod.uid}") > 0


def test_the_last_value_of_a_burst_is_kept_and_few_of_the_others(stack: Stack, parts: Parts, pod: Pod) -> None:
    for number in range(100):
        assert pod.report({"progress": number / 100}).status_code == 204
    assert pod.report({"message": "nearly done"}).status_code == 204

    def last() -> bool:
        rows = parts.rows("SELECT progress, message FROM attempt_progress")
        return [tuple(row) for row in rows] == [(0.99, "nearly done")]

    wait_until(last, what="the last value")
    history = parts.services.redis.xlen(f"tg:history:{stack.project}")
    assert 2 <= history < 50


def test_what_waits_is_written_when_the_process_ends(stack: Stack) -> None:
    parts = stack.parts("web", progress_seconds=3600)
    pod = Pod(stack, parts)
    for number in (1, 2, 3):
        assert pod.report({"progress": number / 10}).status_code == 204
    assert [row.progress for row in parts.rows("SELECT progress FROM attempt_progress")] == [0.1]
    parts.services.runs.progress.stop()
    assert [row.progress for row in parts.rows("SELECT progress FROM attempt_progress")] == [0.3]


def test_what_waits_outlives_stores_that_are_away(stack: Stack) -> None:
    parts = stack.parts("web", progress_seconds=0.2)
    pod = Pod(stack, parts)
    assert pod.report({"progress": 0.1}).status_code == 204
    stack.redis.stop()
    stack.postgres.stop()
    # One that would be written at once is refused; the next one is accepted and waits for its turn.
    wait_until(lambda: pod.report({"progress": 0.5}).status_code == 204, what="an accepted value")
    stack.postgres.start()
    stack.redis.start()
    wait_until(
        lambda: [row.progress for row in parts.rows("SELECT progress FROM attempt_progress")] == [0.5],
        what="the last value that was accepted",
    )


def test_one_review_a_token(stack: Stack, parts: Parts, pod: Pod) -> None:
    for _ in range(3):
        assert pod.report({"progress": 0.1}).status_code == 204
    asked = [entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri]
    before = len(asked)
    assert pod.report({"progress": 0.2}).status_code == 204
    asked = [entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri]
    assert len(asked) == before


def test_a_token_opens_its_own_run_alone(stack: Stack, parts: Parts, pod: Pod) -> None:
    other = stack.runs.create("other")
    answer = pod.report({"progress": 0.1}, uid=other["metadata"]["uid"])
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert pod.report({"progress": 0.1}, uid="not-a-uid").status_code == 403


def test_tokens_that_open_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    def refused(token: str) -> int:
        return pod.report({"progress": 0.1}, token=token).status_code

    assert refused("") == 401
    assert refused("nonsense") == 403
    assert refused(stack.runs.token(pod.pod, audience="https://kubernetes.default.svc")) == 403
    assert refused(stack.runs.kube.token("default", audience="tidegate")) == 403
    assert refused(pod.token[:-6] + "AAAAAA") == 403


def test_a_review_that_does_not_name_the_audience_opens_nothing(stack: Stack, proxy: FaultyProxy) -> None:
    pod = Pod(stack, stack.parts("web", kubeconfig=proxy.kubeconfig("web")))
    # As an authenticator answers that knows nothing of audiences: the token may be meant for another service.
    with proxy.on(method="POST", path="/tokenreviews").alter(lambda review: review["status"].pop("audiences")) as rule:
        assert pod.report({"progress": 0.1}).status_code == 403
        assert rule.hits == 1
    other = Pod(stack, pod.parts, "other")
    assert other.report({"progress": 0.1}).status_code == 204


def reviews(stack: Stack) -> int:
    """TokenReviews that the web app has asked for."""
    return len([entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri])


def forged(pod: Pod, number: int = 0) -> str:
    """A token with the claims of the pod's and a signature of no key."""
    header, claims, _ = pod.token.split(".")
    signature = base64.urlsafe_b64encode(f"signature {number}".encode()).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"


def test_a_bearer_that_is_no_token_of_a_pod_costs_no_review(stack: Stack, parts: Parts, pod: Pod) -> None:
    before = reviews(stack)
    for number in range(20):
        assert pod.report({"progress": 0.1}, token=f"random-{number}").status_code == 403
    elsewhere = stack.runs.token(pod.pod, audience="https://kubernetes.default.svc")
    assert pod.report({"progress": 0.1}, token=elsewhere).status_code == 403
    assert reviews(stack) == before


def test_a_token_that_was_refused_is_remembered(stack: Stack, parts: Parts, pod: Pod) -> None:
    before = reviews(stack)
    for _ in range(5):
        assert pod.report({"progress": 0.1}, token=forged(pod)).status_code == 403
    assert reviews(stack) == before + 1
    assert pod.report({"progress": 0.1}).status_code == 204


def test_an_address_that_shows_many_forged_tokens_is_slowed_down_on_all_processes(stack: Stack) -> None:
    first, second = stack.parts("web"), stack.parts("web")
    pod, other = Pod(stack, first), Pod(stack, first, "other")
    assert pod.report({"progress": 0.1}).status_code == 204
    before, answers = reviews(stack), []
    for number in range(REFUSED_TOKENS.requests + 20):
        pod.parts = (first, second)[number % 2]
        answers.append(pod.report({"progress": 0.1}, token=forged(pod, number)))
    assert {answer.status_code for answer in answers} == {403, 429}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    # A few tokens come back while the test goes on.
    assert reviews(stack) - before <= REFUSED_TOKENS.requests + 15
    # What is known already goes on, and so do other addresses.
    pod.parts = first
    assert pod.report({"progress": 0.2}).status_code == 204
    assert other.report({"progress": 0.2}, address="192.0.2.9").status_code == 204


def test_the_address_is_the_peers_whatever_headers_say(stack: Stack) -> None:
    parts = stack.parts("web", trusted_proxies=1)
    pod = Pod(stack, parts)
    statuses = []
    for number in range(REFUSED_TOKENS.requests + 20):
        spoofed = {"X-Forwarded-For": f"198.51.100.{number}"}
        statuses.append(pod.report({"progress": 0.1}, token=forged(pod, number), more=spoofed).status_code)
    assert statuses[-1] == 429


def test_a_run_that_calls_too_often_is_slowed_down_on_all_processes(stack: Stack) -> None:
    processes = [stack.parts("web", rate_limit_requests=5, rate_limit_seconds=3600) for _ in range(2)]
    pod, other = Pod(stack, processes[0]), Pod(stack, processes[0], "other")
    answers = []
    for number in range(7):
        pod.parts = processes[number % 2]
        answers.append(pod.report({"progress": 0.1}))
    assert [answer.status_code for answer in answers] == [204] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert other.report({"progress": 0.1}).status_code == 204


def test_the_port_that_people_use_knows_nothing_of_it(stack: Stack, parts: Parts, pod: Pod, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {pod.token}", "Host": "localhost:8081", "X-Forwarded-Port": "8081"}
    with (
        stack.process("serve", actor="web", log=tmp_path / "log", trusted_proxies=1) as process,
        urllib3.PoolManager() as pool,
    ):
        path = f"/internal/v1/runs/{pod.uid}/progress"

        def report(port: int, forwarded: str) -> int:
            more = headers | {"X-Forwarded-Host": forwarded}
            url = f"http://127.0.0.1:{port}{path}"
            return pool.request("POST", url, headers=more, json={"progress": 0.1}, retries=False).status

        assert report(process.port, f"x:{process.internal_port}") == 404
        assert report(process.internal_port, "x") == 204
        page = pool.request("GET", f"http://127.0.0.1:{process.internal_port}/login", retries=False)
        api = pool.request("GET", f"http://127.0.0.1:{process.internal_port}/api/v1/openapi.json", retries=False)
        assert (page.status, api.status) == (404, 404)


def test_labels_and_borrowed_names_open_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    owners: list[Json | None] = [
        None,
        stack.runs.job(pod.run, name="some-job"),
        stack.runs.job(pod.run, name=job_name("works", pod.uid, 2), owned=False),
    ]
    for number, owner in enumerate(owners):
        forged = stack.runs.pod(f"forged-{number}", owner=owner, run_uid=pod.uid)
        assert pod.report({"progress": 1}, token=stack.runs.token(forged)).status_code == 403


def test_a_pod_that_is_gone_opens_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    stack.runs.delete_pod(pod.pod["metadata"]["name"])
    assert pod.report({"progress": 0.1}).status_code == 403


class HandClock:
    """The time is what the test says."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


def with_clock(parts: Parts, clock: HandClock) -> Parts:
    """The same, with tokens that are remembered by that clock."""
    tokens = RunTokens(cluster=parts.services.cluster, clock=clock)
    made = replace(parts.services, auth=replace(parts.services.auth, run_tokens=tokens))
    return make_parts(made, project=parts.project)


def test_a_token_is_reviewed_again_once_it_has_expired(stack: Stack, parts: Parts) -> None:
    clock = HandClock()
    pod = Pod(stack, with_clock(parts, clock))

    def reviews() -> int:
        return len([entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri])

    assert pod.report({"progress": 0.1}).status_code == 204
    known = reviews()
    assert pod.report({"progress": 0.2}).status_code == 204
    assert reviews() == known
    clock.time += timedelta(days=2)  # longer than the apiserver gives any of its tokens here
    pod.report({"progress": 0.3})
    assert reviews() == known + 1


def test_a_remembered_pod_that_is_gone_is_found_out(stack: Stack, parts: Parts) -> None:
    clock = HandClock()
    pod = Pod(stack, with_clock(parts, clock))
    assert pod.report({"progress": 0.1}).status_code == 204
    stack.runs.delete_pod(pod.name)
    stack.runs.pod(pod.name, owner=pod.job, run_uid=pod.uid)  # another of that name
    assert pod.report({"progress": 0.2}).status_code == 204  # seen a moment ago
    clock.time += timedelta(seconds=10)
    for _ in range(2):
        answer = pod.report({"progress": 0.3})
        assert answer.status_code == 403
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [{}, {"progress": 2}, {"progress": "0.5"}, {"progress": True}, {"progress": None}, {"message": 1}, {"x": 1}, []],
)
def test_bad_progress(shared_pod: Pod, body: object) -> None:
    assert shared_pod.report(body).status_code == 422


def test_text_that_is_not_unicode(shared_pod: Pod) -> None:
    answer = shared_pod.send("progress", b'{"message": "\\ud800"}', method="POST")
    assert answer.status_code == 422


def test_one_of_the_stores_is_enough(stack: Stack) -> None:
    parts = stack.parts("web", progress_seconds=0)
    pod = Pod(stack, parts)
    stack.redis.stop()
    assert pod.report({"progress": 0.3}).status_code == 204
    stack.redis.start()
    stack.postgres.stop()
    assert pod.report({"progress": 0.6}).status_code == 204
    stack.redis.stop()
    assert pod.report({"progress": 0.7}).status_code == 503
    stack.redis.start()
    stack.postgres.start()
