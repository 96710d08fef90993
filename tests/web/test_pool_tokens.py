"""What a run in a pool calls of the web app: by a token that the operator has signed for its hand-over, and for no other."""

from typing import Any

import pytest
from pydantic import SecretStr
from support.pods import PoolRun
from support.web import Parts, Stack
from tidegate_web.auth.parts import REFUSED_TOKENS

KEY, OLD = b"k" * 32, b"o" * 32


@pytest.fixture
def pooled(stack: Stack) -> Parts:
    return stack.parts("web", run_token_keys=SecretStr(f"{KEY.decode()}\n{OLD.decode()}"))


@pytest.fixture
def run(stack: Stack, pooled: Parts) -> PoolRun:
    return PoolRun(stack, pooled, key=KEY)


@pytest.mark.quick
def test_it_reports_keeps_a_checkpoint_and_has_children(stack: Stack, run: PoolRun) -> None:
    assert run.report({"progress": 0.5, "message": "half"}).status_code == 204
    assert run.send("checkpoint", b'{"at": 7}').status_code == 204
    assert run.call("GET", "checkpoint").json == {"at": 7}
    stack.runs.task("resize", image="busybox")
    child = run.call("POST", "children", json={"name": "child", "taskRef": {"name": "resize"}})
    assert child.status_code == 201, child.text
    assert stack.runs.get("child")["spec"]["parentRun"] == "warm"
    shown: Any = run.parts.sign_in().get("runs/warm").json
    assert (shown["progress"], shown["progressMessage"]) == (0.5, "half")


def test_a_key_that_is_on_its_way_out_is_accepted_too(stack: Stack, pooled: Parts) -> None:
    assert PoolRun(stack, pooled, key=OLD).report({"progress": 0.1}).status_code == 204


def test_a_token_that_is_forged_expired_or_of_another_run_opens_nothing(stack: Stack, run: PoolRun) -> None:
    other = stack.runs.create("other")
    for token in (
        run.token_of(b"x" * 32),
        run.token_of(KEY, expires=1),
        run.token_of(KEY, uid=other["metadata"]["uid"], run="warm"),
        run.token[:-3] + "abc",
    ):
        assert run.report({"progress": 0.5}, token=token).status_code == 403
    of_other = run.token_of(KEY, uid=other["metadata"]["uid"], run="other")
    assert run.report({"progress": 0.5}, token=of_other).status_code == 403
    assert run.report({"progress": 0.5}, token=of_other, uid=other["metadata"]["uid"]).status_code == 403


def test_one_of_a_hand_over_that_is_over_opens_nothing(stack: Stack, pooled: Parts) -> None:
    given_again = PoolRun(stack, pooled, "given-again", key=KEY)
    given_again.give(stack, handover="0123456789ab-another")
    ended = PoolRun(stack, pooled, "ended", key=KEY)
    ended.give(stack, outcome="Disrupted")
    finished = PoolRun(stack, pooled, "finished", key=KEY)
    stack.runs.status("finished", phase="Failed")
    deleted = PoolRun(stack, pooled, "deleted", key=KEY)
    stack.runs.delete("deleted")
    for run in (given_again, ended, finished, deleted):
        assert run.report({"progress": 0.5}).status_code == 403, run.run["metadata"]["name"]


def test_a_hand_over_that_ends_is_noticed_soon_and_at_once_before_a_child_is_made(stack: Stack, run: PoolRun) -> None:
    assert run.report({"progress": 0.5}).status_code == 204
    run.give(stack, handover="0123456789ab-another")
    assert run.call("POST", "children", json={"task": {"image": "busybox"}}).status_code == 403
    assert run.report({"progress": 0.6}).status_code == 403


def test_without_keys_no_pool_is_served(stack: Stack, parts: Parts) -> None:
    assert PoolRun(stack, parts, key=KEY).report({"progress": 0.5}).status_code == 403


def looks(stack: Stack) -> int:
    """Runs that the web app has asked the apiserver for."""
    return len([entry for entry in stack.plane.requests("web") if "/taskruns/" in entry.uri])


def test_a_token_of_a_hand_over_that_is_over_costs_one_look_at_the_run(stack: Stack, run: PoolRun) -> None:
    run.give(stack, outcome="Succeeded")
    assert run.report({"progress": 0.5}).status_code == 403
    before = looks(stack)
    for _ in range(5):
        assert run.report({"progress": 0.5}).status_code == 403
    assert looks(stack) == before


def test_an_address_that_shows_many_old_tokens_is_slowed_down_on_all_processes(stack: Stack, pooled: Parts) -> None:
    keys = SecretStr(KEY.decode())
    processes = (pooled, stack.parts("web", run_token_keys=keys))
    run = PoolRun(stack, pooled, key=KEY)
    assert run.report({"progress": 0.1}).status_code == 204
    before, answers = looks(stack), []
    for number in range(REFUSED_TOKENS.requests + 20):
        run.parts = processes[number % 2]
        answers.append(run.report({"progress": 0.1}, token=run.token_of(KEY, handover=f"old-{number}")))
    assert {answer.status_code for answer in answers} == {403, 429}
    assert answers[-1].status_code == 429
    # A few tokens come back while the test goes on.
    assert looks(stack) - before <= REFUSED_TOKENS.requests + 15
    # What is known already goes on.
    run.parts = pooled
    assert run.report({"progress": 0.2}).status_code == 204
