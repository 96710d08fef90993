"""echoes: of a watch, only what we wrote ourselves is left out, and nothing else is changed."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tidegate_operator.kube.own_writes import MOST_NOTED, OwnWrites, without_echoes


def event(version: int, *, kind: str = "MODIFIED", **annotations: str) -> bytes:
    """As the apiserver writes it: keys sorted, no spaces."""
    metadata = {"annotations": annotations, "name": "r", "resourceVersion": str(version), "uid": "u"}
    spec = {"payload": {"resourceVersion": "7"}}
    body = {"type": kind, "object": {"apiVersion": "v", "kind": "TaskRun", "metadata": metadata, "spec": spec}}
    return json.dumps(body, separators=(",", ":")).encode()


def test_our_own_write_is_an_echo_once() -> None:
    own = OwnWrites()
    own.note("10")
    assert own.is_echo(event(10))
    assert not own.is_echo(event(10))


def test_the_writes_of_others_are_none() -> None:
    own = OwnWrites()
    own.note("10")
    assert not own.is_echo(event(11))


@pytest.mark.parametrize("kind", ["ADDED", "DELETED", "BOOKMARK", "ERROR"])
def test_what_appears_or_goes_is_none(kind: str) -> None:
    own = OwnWrites()
    own.note("10")
    assert not own.is_echo(event(10, kind=kind))


def test_a_version_in_what_users_write_is_none() -> None:
    own = OwnWrites()
    own.note("7")  # in the payload of each
    own.note("8")
    assert not own.is_echo(event(10, last='{"resourceVersion":"8"}'))


def test_events_that_never_come_are_not_remembered_for_ever() -> None:
    own = OwnWrites()
    for version in range(MOST_NOTED + 1):
        own.note(str(version))
    assert not own.is_echo(event(0))
    assert own.is_echo(event(MOST_NOTED))


@given(cuts=st.lists(st.integers(1, 900), max_size=8))
def test_a_watch_lacks_its_echoes_however_it_is_cut_up(cuts: list[int]) -> None:
    lines = [event(1, kind="ADDED"), event(2), event(3), event(4, kind="DELETED"), event(5)]
    own = OwnWrites()
    own.note("2")
    own.note("5")
    heard: list[str] = []
    whole = b"\n".join(lines) + b"\n"
    got = asyncio.run(_read(whole, cuts, own, heard, query="?watch=1"))
    assert got.splitlines() == [lines[0], lines[2], lines[3]]
    assert heard == ["/taskruns", "/taskruns"]


def test_a_list_is_left_alone() -> None:
    own = OwnWrites()
    own.note("2")
    assert asyncio.run(_read(event(2), [], own, [], query="")) == event(2)


async def _read(whole: bytes, cuts: list[int], own: OwnWrites, heard: list[str], *, query: str) -> bytes:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        at = 0
        for cut in [*cuts, len(whole)]:
            await response.write(whole[at : at + cut])
            at += cut
        return response

    app = web.Application()
    app.router.add_get("/taskruns", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        (address,) = runner.addresses
        response_class = without_echoes(own, on_echo=heard.append)
        async with (
            aiohttp.ClientSession(response_class=response_class) as session,
            session.get(f"http://127.0.0.1:{address[1]}/taskruns{query}") as response,
        ):
            return b"".join([data async for data in response.content.iter_chunked(1 << 20)])
    finally:
        await runner.cleanup()
