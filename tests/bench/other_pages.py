"""Open pages without a browser, as many as two cores can hold: what tidegate.js does of a page of the list of runs, in one process.

Each has a stream of events, and asks for its fragment on an event, 400 ms after the last time at the soonest, later where answers take long. The measurement speaks with
it line by line: standard input says what is waited for, standard output what came of it. Nothing of a fragment is put in place.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from yarl import URL

LEAST_PAUSE: Final = 0.4
MOST_PAUSE: Final = 10.0
"""Of tidegate.js, between the beginnings of two fetches; in between it is twice as long as the last answer took."""
OPENING: Final = 20
"""Streams that are being opened at once."""
PATIENCE: Final = 120.0


@dataclass(kw_only=True)
class Page:
    """One of them."""

    session: aiohttp.ClientSession
    stream: str
    fragment: str
    moved: asyncio.Event
    """Of all pages: one of them has fetched."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    told: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The phase of each run by the last event, and when that came."""
    has: float = 0.0
    """When the last fragment was there."""
    fetched: int = 0
    _fetching: bool = False
    _again: bool = False
    _last: float = 0.0
    _pause: float = LEAST_PAUSE

    async def live(self, tasks: asyncio.TaskGroup, opening: asyncio.Semaphore) -> None:
        """Follow the stream to its end, which is an error."""
        async with opening:
            answer = await self.session.get(self.stream)
            answer.raise_for_status()
            await answer.content.readuntil(b"\n\n")
            self.opened.set()
        event = ""
        async for line in answer.content:
            if line.startswith(b"event: "):
                event = line[7:].decode().strip()
            elif line.startswith(b"data: ") and event == "run":
                said = json.loads(line[6:])
                if said.get("phase") is not None:
                    self.told[said["uid"]] = (said["phase"], time.time())
                    self._refresh(tasks)
        raise RuntimeError("a stream has ended")

    def _refresh(self, tasks: asyncio.TaskGroup) -> None:
        if self._fetching:
            self._again = True
            return
        self._fetching = True
        tasks.create_task(self._fetch())

    async def _fetch(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - self._last)))
            self._last, self._again = time.monotonic(), False
            async with self.session.get(self.fragment, headers={"X-Fragment": "1"}) as answer:
                answer.raise_for_status()
                await answer.read()
            self._pause = min(max(LEAST_PAUSE, 2 * (time.monotonic() - self._last)), MOST_PAUSE)
            self.fetched += 1
            self.has = time.time()
            if not self._again:
                break
        self._fetching = False
        self.moved.set()

    def quiet(self, uid: str, phase: str) -> bool:
        """Whether it has heard of this phase, and fetched what it had to."""
        return not self._fetching and self.told.get(uid, ("", 0.0))[0] == phase


async def _open(session: aiohttp.ClientSession, given: dict[str, Any]) -> list[Page]:
    """Pages of the list as it is now; that is asked for once."""
    address = f"{given['web']}/projects/{given['project']}/runs"
    async with session.get(address) as answer:
        answer.raise_for_status()
        html = (await answer.read()).decode()
    top, seq = (re.search(rf'data-{name}="([^"]*)"', html) for name in ("top", "seq"))
    assert top is not None
    assert seq is not None
    # As a browser writes it: what a fragment is asked for by is the page's address and its first row.
    fragment = str(URL(address).with_query(top=top[1]))
    stream = f"{given['live']}/live/v1/projects/{given['project']}/events?after={seq[1]}"
    moved = asyncio.Event()
    return [Page(session=session, stream=stream, fragment=fragment, moved=moved) for _ in range(given["pages"])]


async def main() -> None:
    """Open them, and answer until standard input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    given = json.loads(await lines.readline())
    opening = asyncio.Semaphore(OPENING)
    session = aiohttp.ClientSession(
        headers={"Cookie": given["cookie"]},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=60),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with session, asyncio.TaskGroup() as tasks:
        pages = await _open(session, given)
        streams = [tasks.create_task(page.live(tasks, opening)) for page in pages]
        for page in pages:
            await page.opened.wait()
        print(json.dumps({"open": len(pages)}), flush=True)
        while line := await lines.readline():
            wanted = json.loads(line)
            uid, phase = wanted["uid"], wanted["phase"]
            async with asyncio.timeout(PATIENCE):
                while not all(page.quiet(uid, phase) for page in pages):
                    pages[0].moved.clear()
                    await pages[0].moved.wait()
            said = {
                "told": [page.told[uid][1] for page in pages],
                "have": [page.has for page in pages],
                "fetched": sum(page.fetched for page in pages),
            }
            print(json.dumps(said), flush=True)
        for stream in streams:
            stream.cancel()


if __name__ == "__main__":
    asyncio.run(main())
