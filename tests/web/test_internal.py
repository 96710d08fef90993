"""Progress from pods: a real TokenReview of a real bound token, and the way from pod to run by ownership alone."""

from typing import Any

import pytest
from support.runs import Json
from support.web import Parts, Stack
from tidegate_web.ownership import job_name
from werkzeug.test import TestResponse


class Pod:
    """A pod of a run, and what it can call."""

    def __init__(self, stack: Stack, parts: Parts, name: str = "works", attempt: int = 1) -> None:
        self._parts = parts
        self.run = stack.runs.create(name)
        self.uid: str = self.run["metadata"]["uid"]
        self.job = stack.runs.job(self.run, attempt)
        self.pod = stack.runs.pod(f"{name}-pod", owner=self.job, run_uid=self.uid)
        self.token = stack.runs.token(self.pod)

    def post(self, body: object, *, uid: str | None = None, token: str | None = None) -> TestResponse:
        return tell(self._parts, uid or self.uid, self.token if token is None else token, body)


def tell(parts: Parts, uid: str, token: str, body: object) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return parts.client().post(f"/internal/v1/runs/{uid}/progress", json=body, headers=headers)


@pytest.fixture
def pod(stack: Stack, parts: Parts) -> Pod:
    return Pod(stack, parts)


@pytest.fixture(scope="module")
def shared_pod(shared_stack: Stack, shared_parts: Parts) -> Pod:
    return Pod(shared_stack, shared_parts)


def test_progress_is_kept_and_published(stack: Stack, parts: Parts, pod: Pod) -> None:
    assert pod.post({"progress": 0.4, "message": "resizing"}).status_code == 204
    assert pod.post({"progress": 0.5}).status_code == 204
    run: Any = parts.sign_in().get("runs/works").json
    assert (run["progress"], run["progressMessage"]) == (0.5, "resizing")
    attempts: Any = parts.sign_in().get("runs/works/attempts").json
    assert attempts["items"] == [{"number": 1, "progress": 0.5, "progressMessage": "resizing"}]
    last = parts.services.events.last(stack.project)
    published = parts.services.events.after(stack.project, last - 1)
    assert published is not None
    assert '"progress":0.5' in published[0][1]
    assert parts.services.redis.ttl(f"tg:progress:{pod.uid}") > 0


def test_one_review_a_token(stack: Stack, parts: Parts, pod: Pod) -> None:
    for _ in range(3):
        assert pod.post({"progress": 0.1}).status_code == 204
    asked = [entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri]
    before = len(asked)
    assert pod.post({"progress": 0.2}).status_code == 204
    asked = [entry for entry in stack.plane.requests("web") if "tokenreviews" in entry.uri]
    assert len(asked) == before


def test_a_token_opens_its_own_run_alone(stack: Stack, parts: Parts, pod: Pod) -> None:
    other = stack.runs.create("other")
    answer = pod.post({"progress": 0.1}, uid=other["metadata"]["uid"])
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert pod.post({"progress": 0.1}, uid="not-a-uid").status_code == 403


def test_tokens_that_open_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    def refused(token: str) -> int:
        return pod.post({"progress": 0.1}, token=token).status_code

    assert refused("") == 401
    assert refused("nonsense") == 403
    assert refused(stack.runs.token(pod.pod, audience="https://kubernetes.default.svc")) == 403
    assert refused(stack.runs.kubectl("create", "token", "default", "--audience=tidegate").strip()) == 403
    assert refused(pod.token[:-6] + "AAAAAA") == 403


def test_labels_and_borrowed_names_open_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    owners: list[Json | None] = [
        None,
        stack.runs.job(pod.run, name="some-job"),
        stack.runs.job(pod.run, name=job_name("works", pod.uid, 2), owned=False),
    ]
    for number, owner in enumerate(owners):
        forged = stack.runs.pod(f"forged-{number}", owner=owner, run_uid=pod.uid)
        assert pod.post({"progress": 1}, token=stack.runs.token(forged)).status_code == 403


def test_a_pod_that_is_gone_opens_nothing(stack: Stack, parts: Parts, pod: Pod) -> None:
    stack.runs.delete_pod(pod.pod["metadata"]["name"])
    assert pod.post({"progress": 0.1}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [{}, {"progress": 2}, {"progress": "0.5"}, {"progress": True}, {"progress": None}, {"message": 1}, {"x": 1}, []],
)
def test_bad_progress(shared_pod: Pod, body: object) -> None:
    assert shared_pod.post(body).status_code == 422


def test_one_of_the_stores_is_enough(stack: Stack, parts: Parts, pod: Pod) -> None:
    stack.redis.stop()
    assert pod.post({"progress": 0.3}).status_code == 204
    stack.redis.start()
    stack.postgres.stop()
    assert pod.post({"progress": 0.6}).status_code == 204
    stack.redis.stop()
    assert pod.post({"progress": 0.7}).status_code == 503
    stack.redis.start()
    stack.postgres.start()


def test_what_is_not_there_yet_says_so(parts: Parts, pod: Pod) -> None:
    assert parts.client().post(f"/internal/v1/runs/{pod.uid}/checkpoint").status_code == 501
