"""Two processes of each kind, as a release with two replicas has them: what one has decided holds at the other at once."""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3
from support.callers import SignedIn
from support.servers import wait_until
from support.web import Parts, Process, Stack, until

BODY = {"taskRef": {"name": "nightly"}}


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: what each test makes is its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(shared_parts: Parts) -> Parts:
    return shared_parts


@pytest.fixture(scope="module")
def pair(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    """Two web processes."""
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as cleanup:
        made = [
            cleanup.enter_context(stack.process("all", actor="web", log=folder / f"web-{number}")) for number in (1, 2)
        ]
        yield made[0], made[1]


def call(process: Process, method: str, path: str, *, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
    """A request to one of them, with a connection of its own."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            method,
            f"http://127.0.0.1:{process.port}{path}",
            headers={"Content-Type": "application/json", **headers},
            body=None if body is None else json.dumps(body),
            retries=False,
            redirect=False,
            timeout=120,
        )
        return answer.status, json.loads(answer.data) if b"json" in answer.headers.get(
            "Content-Type", ""
        ).encode() else None


def bearer(parts: Parts, role: str) -> tuple[int, dict[str, str]]:
    """A new key: its number, and the header that shows it."""
    made: Any = parts.sign_in().post("api-keys", {"name": "ci", "role": role}).json
    return made["id"], {"Authorization": f"Bearer {made['key']}"}


def session(me: SignedIn) -> dict[str, str]:
    return {"Cookie": me.cookie(), "X-CSRFToken": me.csrf}


def test_one_key_at_both_at_once_makes_one_run(stack: Stack, parts: Parts, pair: tuple[Process, Process]) -> None:
    _, headers = bearer(parts, "operator")
    runs = f"/api/v1/projects/{stack.project}/runs"

    def send(number: int) -> tuple[int, Any]:
        keyed = headers | {"Idempotency-Key": "night-1"}
        return call(pair[number % 2], "POST", runs, headers=keyed, body=BODY)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(24)))
    assert sorted({status for status, _ in answers}) == [200, 201]
    assert [status for status, _ in answers].count(201) == 1
    assert len({answer["uid"] for _, answer in answers}) == 1
    assert len(stack.runs.kube.names("taskruns.tidegate.dev")) == 1


def test_a_key_that_one_has_revoked_is_refused_by_the_other(
    stack: Stack, parts: Parts, pair: tuple[Process, Process]
) -> None:
    number, headers = bearer(parts, "viewer")
    path = f"/api/v1/projects/{stack.project}/runs"
    assert [call(each, "GET", path, headers=headers)[0] for each in pair] == [200, 200]
    keys = f"/api/v1/projects/{stack.project}/api-keys/{number}"
    assert call(pair[0], "DELETE", keys, headers=session(parts.sign_in()))[0] == 204
    assert [call(each, "GET", path, headers=headers)[0] for each in pair] == [401, 401]


def test_who_signs_out_of_one_is_signed_out_of_the_other(
    stack: Stack, parts: Parts, pair: tuple[Process, Process]
) -> None:
    headers = session(parts.sign_in())
    assert [call(each, "GET", "/api/v1/me", headers=headers)[0] for each in pair] == [200, 200]
    assert call(pair[0], "DELETE", "/api/v1/sessions", headers=headers)[0] == 204
    mine: Any = call(pair[1], "GET", "/api/v1/sessions", headers=headers)[1]
    current = next(item["id"] for item in mine["items"] if item["current"])
    assert call(pair[0], "DELETE", f"/api/v1/sessions/{current}", headers=headers)[0] == 204
    assert [call(each, "GET", "/api/v1/me", headers=headers)[0] for each in pair] == [401, 401]


def test_a_role_that_one_has_taken_away_is_gone_at_the_other(
    stack: Stack, parts: Parts, pair: tuple[Process, Process]
) -> None:
    bob = session(parts.member("admin", email="bob@example.com"))
    (user,) = parts.rows("SELECT id FROM users WHERE email = 'bob@example.com'")
    path = f"/api/v1/projects/{stack.project}/members"
    assert [call(each, "GET", path, headers=bob)[0] for each in pair] == [200, 200]
    assert call(pair[1], "DELETE", f"{path}/{user.id}", headers=session(parts.sign_in()))[0] == 204
    assert [call(each, "GET", path, headers=bob)[0] for each in pair] == [403, 403]


def test_requests_are_counted_over_both(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    _, headers = bearer(parts, "viewer")
    limits: dict[str, Any] = {"rate_limit_requests": 10, "rate_limit_seconds": 3600}
    with ExitStack() as cleanup:
        pair = [
            cleanup.enter_context(stack.process("all", actor="web", log=tmp_path / f"limited-{number}", **limits))
            for number in (1, 2)
        ]
        answers = [call(pair[number % 2], "GET", "/api/v1/me", headers=headers)[0] for number in range(14)]
    assert answers == [200] * 10 + [429] * 4


def leads(process: Process) -> bool:
    return "tidegate_mirror_leader 1.0" in process.probe("/metrics")[1]


def test_when_the_mirror_that_leads_is_killed_the_other_goes_on(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    with ExitStack() as cleanup:
        first, second = (
            cleanup.enter_context(
                stack.process("mirror", actor="mirror", log=tmp_path / f"mirror-{n}", namespaces=[stack.project])
            )
            for n in (1, 2)
        )
        wait_until(lambda: leads(first) != leads(second), what="one to lead")
        leader, other = (first, second) if leads(first) else (second, first)
        stack.runs.create("before")
        until(parts, "before", lambda found: True)
        leader.process.send_signal(signal.SIGKILL)
        stack.runs.create("after")
        until(parts, "after", lambda found: True)
        assert leads(other)
