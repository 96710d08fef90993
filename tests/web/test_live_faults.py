"""Streams when things go wrong: readers that are too slow, rights that end, a mirror that is killed again and again."""

import random
from contextlib import AbstractContextManager
from pathlib import Path

from support.callers import SignedIn
from support.servers import wait_until
from support.web import Events, Process, Stack
from tidegate_web.store.queries import members, users

EVENTS = 400
LARGE = "x" * 20_000
RUNS = 24
KILLS = 4


def event(number: int) -> dict[str, object]:
    uid = "11111111-2222-3333-4444-555555555555"
    more: dict[str, object] = {"reason": None, "progress": None, "tags": [], "message": LARGE}
    return {"uid": uid, "name": "r", "phase": "Running", "attempt": number, **more}


def address(stack: Stack, url: str) -> str:
    return f"{url}/live/v1/projects/{stack.project}/events"


def test_a_reader_that_is_too_slow_is_dropped_and_misses_nothing_when_it_comes_back(stack: Stack) -> None:
    parts = stack.parts("web", stream_queue=10)
    me = parts.sign_in()
    got: list[int] = []
    with parts.served() as url:
        with Events(address(stack, url), cookie=me.cookie()) as stream:
            last = stream.next()[1]
            for number in range(EVENTS):
                parts.services.events.publish(stack.project, [event(number)])
            try:
                while True:
                    _, last, data = stream.next()
                    got.append(data["attempt"])
            except EOFError:
                pass
        assert 0 < len(got) < EVENTS
        with Events(address(stack, url), cookie=me.cookie(), last=last) as stream:
            while len(got) < EVENTS:
                got.append(stream.next()[2]["attempt"])
    assert got == list(range(EVENTS))


def test_who_is_no_member_any_more_hears_nothing_further(stack: Stack) -> None:
    parts = stack.parts("web", stream_recheck_seconds=0.5)
    member = parts.member("viewer")
    with parts.served() as url, Events(address(stack, url), cookie=member.cookie()) as stream:
        assert stream.next()[0] == "hello"
        with parts.engine.begin() as connection:
            user = users.by_email(connection, "viewer@example.com")
            assert user is not None
            assert members.remove(connection, project=stack.project, user_id=user.id)
        ended = False
        while not ended:
            try:
                stream.next()
            except EOFError:
                ended = True
    with parts.served() as url, Events(address(stack, url), cookie=member.cookie()) as again:
        assert again.status == 403


def test_a_mirror_killed_between_its_commits_and_its_messages_leaves_no_gap(stack: Stack, tmp_path: Path) -> None:
    parts = stack.parts("web")
    me, dice = parts.sign_in(), random.Random(11)  # noqa: S311 - no secret
    names = [f"run-{number}" for number in range(RUNS)]
    for name in names:
        stack.runs.create(name)
    ended: set[str] = set()
    with parts.served() as url, Events(address(stack, url), cookie=me.cookie()) as stream:
        assert stream.next()[0] == "hello"
        for begin in range(0, RUNS, RUNS // KILLS):
            with mirroring(stack, tmp_path / f"mirror-{begin}.log") as mirror:
                for name in names[begin : begin + RUNS // KILLS]:
                    stack.runs.status(name, phase="Succeeded")
                enough = begin + dice.randint(1, RUNS // KILLS)
                wait_until(lambda least=enough: ended_in_archive(me) >= least, what="some ends")  # type: ignore[misc]
                mirror.process.kill()
                mirror.process.wait()
        with mirroring(stack, tmp_path / "mirror-last.log"):
            while len(ended) < RUNS:
                data = stream.next()[2]
                if data.get("phase") == "Succeeded":
                    ended.add(data["name"])
    assert ended == set(names)


def mirroring(stack: Stack, log: Path) -> AbstractContextManager[Process]:
    """A mirror in a process of its own."""
    return stack.process("mirror", actor="mirror", log=log, namespaces=[stack.project])


def ended_in_archive(me: SignedIn) -> int:
    answer = me.get("runs?phase=Succeeded&limit=500")
    assert answer.json is not None
    return len(answer.json["items"])
