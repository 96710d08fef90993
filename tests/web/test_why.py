"""What a run waits for, asked of a real operator that leads by its Lease: found as pods are, shown a real token."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.asked import POD, TASK, Asked, unknown, until_answered, why
from support.browser import signed_in
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Stack, finish


@pytest.fixture(scope="module")
def asked(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    made = Asked(shared_stack, tmp_path_factory.mktemp("why"))
    with made.operator:
        made.operator.wait_leading()
        yield made


def test_a_run_in_a_queue_has_a_reason_and_a_place(asked: Asked) -> None:
    asked.waiting("first", "second", "urgent")
    me = asked.me()
    wait_until(lambda: why(me, "urgent").get("place", {}).get("waiting") == 3, what="three that wait")
    reported = until_answered(me, "second", "ConcurrencyLimit")
    assert reported["place"] == {"position": 3, "aheadByPriority": 1, "waiting": 3}
    assert "shut" in reported["message"]
    assert why(me, "urgent")["place"] == {"position": 1, "aheadByPriority": 0, "waiting": 3}


def test_a_run_that_no_queue_holds_has_no_place(asked: Asked) -> None:
    asked.stack.runs.create("held", task=TASK, suspend=True)
    reported = until_answered(asked.me(), "held", "Suspended")
    assert "place" not in reported
    assert reported["message"]


def test_of_a_run_that_has_ended_its_status_is_answered(asked: Asked) -> None:
    # It needs no leader.
    me = asked.me(operator_token_file=None)
    for name, phase in (("good", "Succeeded"), ("bad", "Failed")):
        asked.stack.runs.create(name, task=TASK, suspend=True)
        finish(asked.stack, name, phase=phase)
    asked.stack.runs.create("reasoned", task=TASK, suspend=True)
    asked.stack.runs.status("reasoned", phase="Failed", reason="OOMKilled", message="too much")
    assert why(me, "good") == {"reason": "Succeeded", "message": ""}
    assert why(me, "bad") == {"reason": "Failed", "message": ""}
    assert why(me, "reasoned") == {"reason": "OOMKilled", "message": "too much"}
    asked.stack.runs.delete("reasoned")
    assert why(me, "reasoned") == {"reason": "OOMKilled", "message": "too much"}
    assert me.get("runs/never-was/why").status_code == 404


def test_no_leader_is_asked_without_a_token(asked: Asked, tmp_path: Path) -> None:
    asked.waiting("tokenless")
    assert "TIDEGATE_OPERATOR_TOKEN_FILE" in unknown(asked.me(operator_token_file=None), "tokenless")
    assert "can't be read" in unknown(asked.me(operator_token_file=tmp_path / "none"), "tokenless")
    bad = tmp_path / "bad"
    bad.write_text("two\nlines")
    assert unknown(asked.me(operator_token_file=bad), "tokenless")


def test_another_account_is_refused(asked: Asked) -> None:
    asked.waiting("private")
    assert "403" in unknown(asked.me(operator_token_file=asked.token("stranger")), "private")
    file = asked.token("web")
    file.write_text(file.read_text()[:-8] + "AAAAAAAA")
    me = asked.stack.parts("web", **asked.settings() | {"operator_token_file": file}).sign_in()
    assert why(me, "private")["reason"] != "Unknown"  # written again by settings(): it is read each time
    file.write_text("nonsense")
    assert "401" in unknown(me, "private")


def test_there_is_no_leader(asked: Asked) -> None:
    asked.waiting("leaderless")
    me = asked.me()
    until_answered(me, "leaderless", "ConcurrencyLimit")
    assert unknown(asked.me(operator_lease_name="another"), "leaderless") == (
        "Kubernetes doesn't say which operator leads."
    )  # one that we may not read
    asked.operator.stop()
    wait_until(lambda: unknown(me, "leaderless") == "No operator leads at the moment.", what="the Lease's release")
    for holder, phase in (("pod-that-is-gone", "Running"), (POD, "Succeeded")):
        asked.holder(holder)
        asked.pod(phase=phase)
        assert unknown(asked.me(), "leaderless") == "No operator leads at the moment."
    # One that died: its Lease is still its own, and no process listens.
    asked.pod(phase="Running")
    assert unknown(asked.me(), "leaderless") == "The operator's leader doesn't answer."
    asked.operator.start().wait_leading()
    until_answered(me, "leaderless", "ConcurrencyLimit")


def test_a_leader_that_is_stuck_delays_no_other_request(asked: Asked) -> None:
    asked.waiting("stuck")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        me = asked.me(operator_port=silent.getsockname()[1])
        # The leader never answers, so a page that waited for it would never come.
        assert unknown(me, "stuck") == "The operator's leader doesn't answer."


def test_a_leader_that_does_not_know_the_run(asked: Asked, stack: Stack) -> None:
    stack.runs.create("elsewhere", task=TASK)
    me = asked.me()
    me.project = stack.project
    assert unknown(me, "elsewhere") == "The operator's leader has not seen this run."


def test_the_page_shows_what_a_run_waits_for(asked: Asked, browser: Browser, tmp_path: Path) -> None:
    asked.waiting("on-a-page")
    me = asked.me()
    place = until_answered(me, "on-a-page", "ConcurrencyLimit")["place"]
    project = asked.stack.project
    settings = asked.settings(namespaces=[project])
    with ExitStack() as stack:
        web = stack.enter_context(asked.stack.process("all", actor="web", log=tmp_path / "web.log", **settings))
        address = f"http://127.0.0.1:{web.port}"
        page = stack.enter_context(signed_in(browser, address, email=EMAIL, password=PASSWORD))
        page.goto(f"/projects/{project}/runs/on-a-page")
        band = page.locator("[data-why]")
        expect(band).to_contain_text("ConcurrencyLimit")
        expect(band).to_contain_text(f"place {place['position']} of {place['waiting']}")
        # One that goes ahead.
        asked.waiting("urgent-too")
        expect(band).to_contain_text(f"place {place['position'] + 1} of {place['waiting'] + 1}")
        expect(band).to_contain_text("ahead by priority")
        asked.stack.runs.kube.patch("queues.tidegate.dev", "shut", {"spec": {"paused": True}})
        expect(band).to_contain_text("QueuePaused")
