"""Webhooks: one for each run that ends, signed, sent again until it is taken, and never sent inside."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn
from support.receiver import Drip, Receiver
from support.servers import wait_until
from support.web import Parts, Stack, finish, until
from tidegate_web.webhooks import sending, signing
from tidegate_web.webhooks.addresses import parse_networks
from tidegate_web.webhooks.shares import PER_PROJECT

LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def parts(stack: Stack) -> Parts:
    return stack.parts("web", webhook_allow=LOOPBACK)


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def hook(me: SignedIn, receiver: Receiver, **fields: Any) -> Any:
    answer = me.post("webhooks", {"url": receiver.url} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json


def deliveries(me: SignedIn, made: Any) -> list[Any]:
    answer: Any = me.get(f"webhooks/{made['id']}/deliveries").json
    return list(answer["items"])


def got(receiver: Receiver, count: int) -> None:
    wait_until(lambda: len(receiver.received) >= count, what=f"{count} deliveries")


def again_now(parts: Parts) -> None:
    """Let time pass until the next attempt is due."""
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE webhook_deliveries SET next_at = now() WHERE state = 'pending'")


@pytest.mark.quick
def test_the_end_of_a_run_is_reported_once_and_signed(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    made = hook(me, receiver)
    stack.mirror(webhook_allow=LOOPBACK)
    stack.runs.create("nightly", taskRef={"name": "report"}, tags=["x"])
    finish(stack, "nightly")
    got(receiver, 1)
    (reported,) = receiver.received
    assert reported.signed_with(made["secret"])
    assert reported.json["type"] == "run.finished"
    assert reported.json["data"]["name"] == "nightly"
    assert reported.json["data"]["phase"] == "Succeeded"
    assert reported.json["data"]["task"] == "report"
    wait_until(lambda: deliveries(me, made)[0]["state"] == "delivered", what="the delivery's state")
    (delivery,) = deliveries(me, made)
    assert (delivery["attempts"], delivery["lastStatus"]) == (1, 204)
    # Another change of the object, its deletion too, reports nothing new.
    stack.runs.delete("nightly")
    until(parts, "nightly", lambda row: row.deleted_at is not None)
    assert len(deliveries(me, made)) == 1


def test_only_what_was_asked_for_is_reported(stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver) -> None:
    hook(me, receiver, phases=["Failed", "Cancelled"], tasks=["report"])
    stack.mirror(webhook_allow=LOOPBACK)
    for name, task, phase in (
        ("good", "report", "Succeeded"),
        ("other", "resize", "Failed"),
        ("bad", "report", "Failed"),
    ):
        stack.runs.create(name, taskRef={"name": task})
        finish(stack, name, phase=phase)
    # One that is deleted in mid-flight ends too.
    stack.runs.create("cut", taskRef={"name": "report"})
    until(parts, "cut", lambda row: row.phase == "Pending")
    stack.runs.delete("cut")
    got(receiver, 2)
    assert sorted(reported.json["data"]["name"] for reported in receiver.received) == ["bad", "cut"]
    reasons = {reported.json["data"]["name"]: reported.json["data"]["reason"] for reported in receiver.received}
    assert reasons["cut"] == "Deleted"


def test_what_is_not_taken_is_sent_again_with_the_same_id(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    made = hook(me, receiver)
    receiver.status = 500
    stack.mirror(webhook_allow=LOOPBACK)
    stack.runs.create("run")
    finish(stack, "run")
    got(receiver, 1)
    wait_until(lambda: deliveries(me, made)[0]["attempts"] == 1, what="the first attempt's outcome")
    (delivery,) = deliveries(me, made)
    assert (delivery["state"], delivery["lastStatus"]) == ("pending", 500)
    assert delivery["nextAttemptAt"] > delivery["lastAttemptAt"]
    receiver.status = 200
    again_now(parts)
    got(receiver, 2)
    first, second = receiver.received
    assert first.id == second.id
    wait_until(lambda: deliveries(me, made)[0]["state"] == "delivered", what="the delivery")


def test_a_delivery_is_given_up_in_the_end_and_can_be_replayed(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    made = hook(me, receiver)
    receiver.status = 503
    stack.mirror(webhook_allow=LOOPBACK)
    stack.runs.create("run")
    finish(stack, "run")
    got(receiver, 1)
    wait_until(lambda: deliveries(me, made)[0]["attempts"] == 1, what="the first attempt's outcome")
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE webhook_deliveries SET attempts = 9, next_at = now()")
    wait_until(lambda: deliveries(me, made)[0]["state"] == "failed", what="the end of trying")
    receiver.status = 200
    (delivery,) = deliveries(me, made)
    assert me.post(f"webhooks/{made['id']}/deliveries/{delivery['id']}:replay").status_code == 202
    wait_until(lambda: deliveries(me, made)[0]["state"] == "delivered", what="the replayed delivery")


def test_a_receiver_that_wants_no_more_gets_no_more(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    made = hook(me, receiver)
    receiver.status = 410
    stack.mirror(webhook_allow=LOOPBACK)
    stack.runs.create("one")
    finish(stack, "one")
    wait_until(lambda: me.get(f"webhooks/{made['id']}").json["disabled"], what="the webhook's end")  # type: ignore[index]
    stack.runs.create("two")
    finish(stack, "two")
    until(parts, "two", lambda row: row.phase == "Succeeded")
    assert len(deliveries(me, made)) == 1
    assert me.call("PATCH", f"webhooks/{made['id']}", {"disabled": False}).json["disabledReason"] is None  # type: ignore[index]


def test_one_that_hangs_holds_up_no_other(stack: Stack, me: SignedIn, receiver: Receiver) -> None:
    with Receiver() as stuck:
        stuck.hangs.set()
        hook(me, stuck)
        hook(me, receiver)
        stack.mirror(webhook_allow=LOOPBACK)
        for number in range(8):
            stack.runs.create(f"run-{number}")
            finish(stack, f"run-{number}")
        got(receiver, 8)


@pytest.mark.parametrize("tls", [False, True], ids=["answer", "handshake"])
def test_a_receiver_that_drips_is_left_when_its_time_is_over(tls: bool) -> None:
    with Drip() as drip:
        url = drip.url.replace("http:", "https:") if tls else drip.url
        outcome = sending.post(url, body=b"{}", headers={}, allowed=parse_networks(LOOPBACK), seconds=1)
    # The receiver drips until it is closed, after this: a sender without a bound would never be here.
    assert (outcome.status, outcome.taken) == (None, False)
    assert outcome.error is not None
    if not tls:
        assert outcome.error == "The receiver didn't answer within 1 s."


def test_a_project_whose_receivers_drip_holds_up_no_other_project(stack: Stack, receiver: Receiver) -> None:
    parts = stack.parts("web", webhook_allow=LOOPBACK)
    me = parts.sign_in()
    with Drip() as drip:
        for _ in range(8):
            me.post("webhooks", {"url": drip.url})
        stack.mirror(webhook_allow=LOOPBACK)
        for number in range(4):
            stack.runs.create(f"slow-{number}")
            finish(stack, f"slow-{number}")
        wait_until(lambda: drip.connections >= PER_PROJECT, what="the project's share to be taken")
        with parts.engine.begin() as connection:
            sealed = parts.services.auth.sealer.seal(signing.new_secret())
            webhook = connection.execute(
                text(
                    "INSERT INTO webhooks (project, url, secret, created_by) VALUES ('other', :url, :secret, 'x') RETURNING id"
                ),
                {"url": receiver.url, "secret": sealed},
            ).scalar_one()
            connection.execute(
                text("INSERT INTO webhook_deliveries (webhook_id, payload) VALUES (:webhook, '{}')"),
                {"webhook": webhook},
            )
        got(receiver, 1)
        assert drip.connections == PER_PROJECT


def test_redirects_are_not_followed(stack: Stack, me: SignedIn, receiver: Receiver) -> None:
    with Receiver() as inside:
        receiver.status, receiver.location = 307, inside.url
        made = hook(me, receiver)
        stack.mirror(webhook_allow=LOOPBACK)
        me.post(f"webhooks/{made['id']}:test")
        wait_until(lambda: deliveries(me, made)[0]["attempts"] == 1, what="the attempt")
        assert deliveries(me, made)[0]["lastStatus"] == 307
        assert inside.received == []


def test_nothing_is_sent_inside_whatever_name_leads_there(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    made = hook(me, receiver, url=receiver.url.replace("127.0.0.1", "localhost"))
    stack.mirror()  # which allows no loopback
    me.post(f"webhooks/{made['id']}:test")
    wait_until(lambda: deliveries(me, made)[0]["attempts"] == 1, what="the attempt")
    assert "may not go to" in deliveries(me, made)[0]["lastError"]
    assert receiver.received == []


def test_what_ended_while_no_mirror_was_there_is_reported_when_one_comes(
    stack: Stack, me: SignedIn, receiver: Receiver
) -> None:
    hook(me, receiver)
    stack.runs.create("meanwhile")
    finish(stack, "meanwhile")
    stack.redis.stop()  # which has no part in it
    stack.mirror(webhook_allow=LOOPBACK)
    got(receiver, 1)
    assert receiver.received[0].json["data"]["name"] == "meanwhile"


def test_a_secret_is_shown_once_kept_sealed_and_can_be_rotated(parts: Parts, me: SignedIn, receiver: Receiver) -> None:
    made = hook(me, receiver)
    assert "secret" not in me.get(f"webhooks/{made['id']}").json  # type: ignore[operator]
    (row,) = parts.rows("SELECT * FROM webhooks")
    assert made["secret"] not in str(row)
    rotated: Any = me.post(f"webhooks/{made['id']}:rotate-secret").json
    assert rotated["secret"] != made["secret"]


def test_a_test_is_signed_with_the_rotated_secret(stack: Stack, me: SignedIn, receiver: Receiver) -> None:
    made = hook(me, receiver)
    secret = me.post(f"webhooks/{made['id']}:rotate-secret").json["secret"]  # type: ignore[index]
    stack.mirror(webhook_allow=LOOPBACK)
    assert me.post(f"webhooks/{made['id']}:test").status_code == 202
    got(receiver, 1)
    assert receiver.received[0].json["type"] == "webhook.test"
    assert receiver.received[0].signed_with(secret)
    assert not receiver.received[0].signed_with(made["secret"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "not a url"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "http://127.0.0.1/"},
        {"url": "https://example.com", "phases": ["Running"]},
        {"url": "https://example.com", "phases": []},
        {"url": "https://example.com", "tasks": ["Not A Label"]},
        {"url": "https://example.com", "secret": "mine"},
    ],
)
def test_what_is_wrong_with_a_webhook_is_reported(shared_me: SignedIn, body: object) -> None:
    assert shared_me.post("webhooks", body).status_code == 422


def test_webhooks_are_changed_and_removed(me: SignedIn, receiver: Receiver) -> None:
    made = hook(me, receiver, phases=["Failed"])
    path = f"webhooks/{made['id']}"
    assert me.call("PATCH", path, {"phases": None, "tasks": ["a"]}).json["tasks"] == ["a"]  # type: ignore[index]
    assert me.get(path).json["phases"] is None  # type: ignore[index]
    assert me.call("PATCH", path, {"url": "http://10.0.0.1/"}).status_code == 422
    assert me.call("PATCH", path, {"url": None}).status_code == 422
    assert me.call("DELETE", path).status_code == 204
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", ":test")):
        assert me.call(method, path + rest).status_code == 404


def test_a_target_with_which_sending_breaks_stops_no_other(
    stack: Stack, parts: Parts, me: SignedIn, receiver: Receiver
) -> None:
    stack.mirror(webhook_allow=LOOPBACK)
    odd, _ = hook(me, receiver), hook(me, receiver)
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE webhooks SET url = 'http://[no/' WHERE id = (SELECT min(id) FROM webhooks)")
    stack.runs.create("done")
    finish(stack, "done")
    got(receiver, 1)

    wait_until(lambda: [each["attempts"] for each in deliveries(me, odd)] == [1], what="the attempt to be noted")
