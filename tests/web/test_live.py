"""Streams: numbered events that can be resumed, log chunks without a gap, and ends when rights end."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.callers import SignedIn
from support.servers import wait_until
from support.web import Events, Parts, Stack
from tidegate_web.events.channels import publish_logs
from tidegate_web.store.queries.logs import Chunk, End, Place, add_chunk, add_end

UID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def live(stack: Stack) -> Iterator[tuple[Parts, str, SignedIn]]:
    parts = stack.parts("web", stream_recheck_seconds=0.5, stream_history=50)
    with parts.served() as url:
        yield parts, url, parts.sign_in()


def event(number: int, **more: object) -> dict[str, object]:
    return {
        "uid": UID, "name": "r", "phase": "Running", "reason": None, "attempt": number, "progress": None, "tags": [],
    } | more  # fmt: skip


@pytest.mark.quick
def test_events_come_in_order_and_can_be_resumed(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    parts, url, me = live
    address = f"{url}/live/v1/projects/{stack.project}/events"
    with Events(address, cookie=me.cookie()) as stream:
        assert stream.status == 200
        assert stream.content_type.startswith("text/event-stream")
        assert stream.next()[0] == "hello"
        parts.services.events.publish(stack.project, [event(1), event(2), event(3)])
        seen = [stream.next() for _ in range(3)]
        assert [data["attempt"] for _, _, data in seen] == [1, 2, 3]
        assert [int(number) for _, number, _ in seen] == [data["seq"] for _, _, data in seen]
        keys = {"uid", "name", "phase", "reason", "attempt", "progress", "seq"}
        assert set(seen[0][2]) == keys
    with Events(address, cookie=me.cookie(), last=seen[0][1]) as stream:
        parts.services.events.publish(stack.project, [event(4)])
        assert [stream.next()[2]["attempt"] for _ in range(3)] == [2, 3, 4]


def test_a_number_that_is_gone_is_answered_with_reset(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    parts, url, me = live
    address = f"{url}/live/v1/projects/{stack.project}/events"
    parts.services.events.publish(stack.project, [event(1), event(2)])
    last = parts.services.events.last(stack.project)
    for gone in (last + 100, last - 100, 0):
        with Events(address, cookie=me.cookie(), last=str(gone)) as stream:
            kind, number, _ = stream.next()
            assert (kind, number) == ("reset", str(last))
    parts.services.redis.flushdb()
    parts.services.events.publish(stack.project, [event(3)])
    assert parts.services.events.last(stack.project) > last
    with Events(address, cookie=me.cookie(), last=str(last)) as stream:
        assert stream.next()[0] == "reset"


def test_only_what_was_asked_for(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    parts, url, me = live
    other = "99999999-2222-3333-4444-555555555555"
    for query in (f"runs={UID}", "tag=mine"):
        with Events(f"{url}/live/v1/projects/{stack.project}/events?{query}", cookie=me.cookie()) as stream:
            stream.next()
            parts.services.events.publish(stack.project, [event(1, uid=other), event(2, tags=["mine"])])
            assert stream.next()[2]["attempt"] == 2


def test_quiet_streams_get_comments(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    parts, url, me = live
    with Events(f"{url}/live/v1/projects/{stack.project}/events", cookie=me.cookie()) as stream:
        stream.next()
        before = stream.comments
        wait = parts.services.settings.stream_heartbeat_seconds
        assert wait <= 1
        wait_until(lambda: parts.services.hub.streams == 1)

        def quiet() -> bool:
            stream._rest += stream._response.read1(100)
            return stream._rest.count(b": still here") > before

        wait_until(quiet, what="comments")


def test_a_stream_ends_when_its_session_does(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    _, url, me = live
    with Events(f"{url}/live/v1/projects/{stack.project}/events", cookie=me.cookie()) as stream:
        stream.next()
        me.client.post("/logout", data={"csrf_token": me.csrf})
        with pytest.raises(EOFError):
            stream.next()


def test_without_redis_streams_end_and_new_ones_are_refused(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    _, url, me = live
    address = f"{url}/live/v1/projects/{stack.project}/events"
    with Events(address, cookie=me.cookie()) as stream:
        stream.next()
        stack.redis.stop()
        with pytest.raises(EOFError):
            stream.next()
    with Events(address, cookie=me.cookie()) as stream:
        assert stream.status == 503
    assert me.get(f"/projects/{stack.project}/runs").status_code == 200  # the page polls
    stack.redis.start()

    def back() -> bool:
        with Events(address, cookie=me.cookie()) as again:
            return again.status == 200

    wait_until(back, what="live updates")


def test_strangers_get_no_stream(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    _, url, _ = live
    with Events(f"{url}/live/v1/projects/{stack.project}/events", cookie="") as stream:
        assert stream.status == 401


def chunk(stack: Stack, run: Any, position: int, data: bytes) -> Chunk:
    return Chunk(
        run_uid=run["uid"],
        run_created=datetime.fromisoformat(run["createdAt"]),
        project=stack.project,
        attempt=1,
        pod_uid="p",
        pod_name="pod",
        data=data,
        place=Place(position=position + len(data)),
    )


def test_log_chunks_stored_and_live_without_a_gap(stack: Stack, live: tuple[Parts, str, SignedIn]) -> None:
    parts, url, me = live
    answer = me.post("runs", {"task": {"image": "busybox"}, "name": "talks"})
    assert answer.json is not None
    uid = answer.json["uid"]

    def store(position: int, data: bytes) -> int:
        with parts.engine.begin() as connection:
            number = add_chunk(connection, chunk(stack, answer.json, position, data))
        assert number is not None
        return number

    first = store(0, b"one\n")
    address = f"{url}/live/v1/projects/{stack.project}/runs/{uid}/logs"
    with Events(address, cookie=me.cookie()) as stream:
        kind, number, data = stream.next()
        assert (kind, number, data["text"], data["offset"]) == ("chunk", str(first), "one\n", 0)
        # The second is reported live, the third's message was lost: the fourth's brings both.
        second = store(4, b"two\n")
        message = {"attempt": 1, "pod": "pod"}
        publish_logs(
            parts.services.redis, [(uid, message | {"id": second, "prev": first, "offset": 4, "text": "two\n"})]
        )
        assert stream.next()[2]["text"] == "two\n"
        third = store(8, b"three\n")
        fourth = store(14, b"four\n")
        publish_logs(
            parts.services.redis, [(uid, message | {"id": fourth, "prev": third, "offset": 14, "text": "four\n"})]
        )
        assert [stream.next()[2]["text"] for _ in range(2)] == ["three\n", "four\n"]
        with parts.engine.begin() as connection:
            add_end(
                connection,
                End(run_uid=uid, project=stack.project, attempt=1, pod_uid="p", pod_name="pod", mark="complete"),
            )
        publish_logs(parts.services.redis, [(uid, {"attempt": 1, "pod": "pod", "end": "complete"})])
        assert stream.next() == ("end", "", {"attempt": 1, "pod": "pod", "end": "complete", "reason": None})
    with Events(address, cookie=me.cookie(), last=str(third)) as stream:
        assert stream.next()[2]["text"] == "four\n"


@pytest.mark.parametrize("last", ["x", "-1", "1e3", "9" * 30, "\u0661".encode().decode("latin-1"), "0x10"])
def test_what_is_no_number_of_an_event_is_answered_with_reset(
    stack: Stack, live: tuple[Parts, str, SignedIn], last: str
) -> None:
    parts, url, me = live
    run = stack.runs.create("logged")
    assert me.get("runs/logged").status_code == 200
    parts.services.events.publish(stack.project, [event(1)])
    with Events(f"{url}/live/v1/projects/{stack.project}/events", cookie=me.cookie(), last=last) as stream:
        kind, number, _ = stream.next()
        assert (kind, number) == ("reset", str(parts.services.events.last(stack.project)))
        parts.services.events.publish(stack.project, [event(2)])
        assert stream.next()[2]["attempt"] == 2
    store(parts, run, 0, b"one\n")
    with Events(f"{url}/live/v1/projects/{stack.project}/runs/logged/logs", cookie=me.cookie(), last=last) as stream:
        assert stream.next()[0] == "reset"
        assert stream.next()[2]["text"] == "one\n"


def test_a_chunk_that_the_run_does_not_have_is_answered_with_reset(
    stack: Stack, live: tuple[Parts, str, SignedIn]
) -> None:
    parts, url, me = live
    run = stack.runs.create("logged")
    assert me.get("runs/logged").status_code == 200
    first, _ = (store(parts, run, position, text) for position, text in ((0, b"one\n"), (4, b"two\n")))
    address = f"{url}/live/v1/projects/{stack.project}/runs/logged/logs"
    for after, wanted in ((first, ["chunk"]), (first + 10**9, ["reset", "chunk", "chunk"]), (0, ["chunk", "chunk"])):
        with Events(address, cookie=me.cookie(), last=str(after)) as stream:
            assert [stream.next()[0] for _ in wanted] == wanted


def store(parts: Parts, run: Any, position: int, text: bytes) -> int:
    """A piece of the run's log; its id."""
    metadata = run["metadata"]
    with parts.engine.begin() as connection:
        number = add_chunk(
            connection,
            Chunk(
                run_uid=metadata["uid"], run_created=datetime.fromisoformat(metadata["creationTimestamp"]), project=parts.project,
                attempt=1, pod_uid=UID, pod_name="p", data=text, place=Place(position=position + len(text)),
            ),
        )  # fmt: skip
    assert number is not None
    return number
