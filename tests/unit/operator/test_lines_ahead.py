"""What is read of a watch before kopf reads it, and what kopf gets in its place."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.builders import a_run
from support.caches import a_cache
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.metrics import Metrics
from tidegate_operator.state.cache import Cache
from tidegate_operator.watch.kopf_source import listed_runs_ahead, runs_ahead
from tidegate_operator.watch.lines_ahead import BURST, responses_read_ahead

RUNS: Final = "/apis/tidegate.dev/v1alpha1/namespaces/team/taskruns"
LAST_EVENT: Final = "tidegate_last_event_timestamp_seconds"
TASKS: Final = "/apis/tidegate.dev/v1alpha1/tasks"


def event(version: int, *, kind: str = "MODIFIED", name: str = "r", **annotations: str) -> bytes:
    """As the apiserver writes it: keys sorted, no spaces."""
    body = a_run(name).built
    body["metadata"] |= {
        "annotations": annotations,
        "creationTimestamp": "2026-11-27T12:00:00Z",
        "resourceVersion": str(version),
        "uid": f"uid-{name}",
    }
    text = json.dumps(body, separators=(",", ":"), sort_keys=True)
    return f'{{"type":"{kind}","object":{text}}}'.encode()


def bookmark(version: int) -> bytes:
    return json.dumps(
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}, separators=(",", ":")
    ).encode()


class Watched:
    """An operator's cache, and what kopf gets to read."""

    def __init__(self) -> None:
        self.cache: Cache = a_cache(now=0.0)
        self.own = OwnWrites()
        self.metrics = Metrics()

    def read(self, lines: Sequence[bytes], *, path: str = RUNS, cuts: Sequence[int] = ()) -> list[bytes]:
        whole = b"".join(line + b"\n" for line in lines)
        return asyncio.run(self._read(whole, path + "?watch=1", cuts)).splitlines()

    def read_list(self, *items: object, path: str = RUNS) -> object:
        return asyncio.run(self._read_list(json.dumps({"items": items}).encode(), path))

    async def _read(self, whole: bytes, path: str, cuts: Sequence[int]) -> bytes:
        async with self._response(whole, path, cuts) as response:
            return b"".join([data async for data in response.content.iter_chunked(1 << 20)])

    async def _read_list(self, whole: bytes, path: str) -> object:
        async with self._response(whole, path, ()) as response:
            return await response.json()

    @asynccontextmanager
    async def _response(self, whole: bytes, path: str, cuts: Sequence[int]) -> AsyncIterator[aiohttp.ClientResponse]:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            at = 0
            for cut in [*cuts, len(whole)]:
                await response.write(whole[at : at + cut])
                at += cut
            return response

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ahead = responses_read_ahead(
            runs_ahead(self.cache, self.metrics, own_writes=self.own), listed_runs_ahead(self.cache)
        )
        try:
            (address,) = runner.addresses
            async with (
                aiohttp.ClientSession(response_class=ahead) as session,
                session.get(f"http://127.0.0.1:{address[1]}{path}") as response,
            ):
                yield response
        finally:
            await runner.cleanup()


def parsed(lines: Sequence[bytes]) -> list[tuple[str, str]]:
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(e["type"], e["object"]["metadata"]["resourceVersion"]) for e in events]


def test_a_run_is_known_without_kopf_which_gets_a_bookmark() -> None:
    watched = Watched()
    assert watched.read([event(5, kind="ADDED"), event(7)]) == [bookmark(7)]
    assert watched.cache.runs["uid-r"].version == 7


def test_a_run_that_is_gone_is_reported_by_kopf() -> None:
    watched = Watched()
    lines = [event(5, kind="ADDED"), event(6, kind="DELETED"), event(8, kind="ADDED", name="other")]
    assert watched.read(lines) == [lines[1], bookmark(8)]
    assert set(watched.cache.runs) == {"uid-r", "uid-other"}


def test_other_kinds_are_kopfs() -> None:
    watched = Watched()
    lines = [event(5, kind="ADDED"), event(6)]
    assert watched.read(lines, path=TASKS) == lines
    assert not watched.cache.runs


@given(cuts=st.lists(st.integers(1, 900), max_size=8))
def test_a_watch_is_the_same_however_it_is_cut_up(cuts: list[int]) -> None:
    watched = Watched()
    watched.own.note("2")
    watched.own.note("5")
    lines = [event(1, kind="ADDED"), event(2), event(3), event(4, kind="DELETED"), event(5)]
    got = parsed(watched.read(lines, cuts=cuts))
    assert [e for e in got if e[0] != "BOOKMARK"] == [("DELETED", "4")]
    assert [int(version) for _, version in got] == sorted(int(version) for _, version in got)
    assert got[-1] == ("DELETED", "4"), "an echo says nothing of where the watch is"
    assert watched.cache.runs["uid-r"].version == 3


def test_a_version_that_a_user_has_written_is_not_gone_on_from() -> None:
    watched = Watched()
    assert watched.read([event(5, kind="ADDED", resourceVersion="999999999")]) == [bookmark(5)]


def test_what_is_no_event_of_a_run_is_left_to_kopf() -> None:
    watched = Watched()
    lines = [
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"x"}}}',
        b'{"type":"ADDED","object":[]}',
        b'{"type":"MODIFIED","object":',
        b'{"type":"ERROR","object":{"code":410}}',
        bookmark(9),
    ]
    assert watched.read(lines) == lines


def test_an_object_that_cannot_be_parsed_is_taken_too_and_set_aside() -> None:
    watched = Watched()
    line = b'{"type":"ADDED","object":{"metadata":{"name":"odd","namespace":"team","resourceVersion":"4","uid":"u"}}}'
    assert watched.read([line]) == [bookmark(4)]
    assert watched.cache.runs["u"].fault is not None


def test_a_bookmark_says_that_the_watch_goes_on() -> None:
    watched = Watched()
    assert watched.metrics.registry.get_sample_value(LAST_EVENT, {"kind": "tasks"}) is None
    assert watched.read([bookmark(9)], path=TASKS) == [bookmark(9)]
    assert watched.metrics.registry.get_sample_value(LAST_EVENT, {"kind": "tasks"})
    assert watched.metrics.registry.get_sample_value("tidegate_watch_events_total", {"kind": "tasks"}) is None


def test_a_thousand_lines_at_once_are_all_taken() -> None:
    watched = Watched()
    lines = [event(i, kind="ADDED", name=f"r{i}") for i in range(1, 10 * BURST)]
    assert parsed(watched.read(lines))[-1] == ("BOOKMARK", str(10 * BURST - 1))
    assert len(watched.cache.runs) == 10 * BURST - 1


def body(version: int, *, name: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event(version, name=name))["object"]
    return found


def test_the_runs_of_a_list_are_known_before_kopf_hands_them_over() -> None:
    """Else the watch after it, whose lines are read ahead, would have a later run admitted before an earlier one."""
    watched = Watched()
    items = [body(5, name=f"r{i}") for i in range(2 * BURST)]
    assert watched.read_list(*items) == {"items": items}, "kopf reads it whole: it watches what it has listed"
    assert len(watched.cache.runs) == 2 * BURST


def test_a_list_of_other_kinds_is_kopfs() -> None:
    watched = Watched()
    watched.read_list(body(5), path=TASKS)
    assert not watched.cache.runs


def test_what_a_list_has_that_is_no_run_stops_none_of_the_others() -> None:
    watched = Watched()
    watched.read_list([], 3, {"metadata": {"resourceVersion": "x"}}, {"metadata": None}, body(5))
    assert set(watched.cache.runs) == {"uid-r"}


def test_a_list_that_comes_late_takes_nothing_back() -> None:
    watched = Watched()
    watched.read([event(7)])
    watched.read_list(body(5))
    assert watched.cache.runs["uid-r"].version == 7
