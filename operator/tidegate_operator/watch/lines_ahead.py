"""Lists and lines of kopf's watches, read before kopf does.

To kopf an event is a queue, a task and two loggers, which together cost more than all that is decided and written for it. So what can
be taken from the line itself is taken here, and kopf gets a bookmark in its place: it goes on from there when its connection ends,
and doesn't hear again of what was created and deleted since.

A list is taken too, and kopf gets it whole: the objects of a list come before those that the watch reports after it, else a later
run would be admitted before an earlier one that kopf still has in its queues.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import aiohttp
from aiohttp.connector import Connection

from tidegate_operator import json_codec

Take = Callable[[str, bytes], str | bool]
"""Called with the path of a watch and a line of it. False: kopf is to read it. A version: the line is taken, and so is all up to
that version. True: the line is taken, and says nothing of where the watch is."""

TakeItem = Callable[[str, object], None]
"""Called with the path of a list and each object in it."""

BURST: Final = 100
"""Lines or objects taken in a row before other tasks of the loop get their turn."""
BOOKMARK: Final = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%s"}}}\n'


def responses_read_ahead(take: Take, take_item: TakeItem) -> type[aiohttp.ClientResponse]:
    """A class of responses: of a watch `take` gets each line first, of a list `take_item` each object."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            await super().start(connection)
            if "watch" in self.url.query:
                path = self.url.path
                content = _Lines(self.content, take=lambda line: take(path, line))
                self.content = cast("aiohttp.StreamReader", content)
            return self

        async def json(self, **_: object) -> object:
            """A list, by the reader that no nesting ends: kopf's own watch of the kind would end, again after every start."""
            answer = json_codec.loads(await self.read())
            items = answer.get("items") if isinstance(answer, dict) else None
            for number, item in enumerate(items if isinstance(items, list) else ()):
                if number % BURST == BURST - 1:
                    await asyncio.sleep(0)
                take_item(self.url.path, item)
            return answer

    return Response


class _Lines:
    """A stream of lines without those that are taken. A reader gets whole lines at a time."""

    def __init__(self, inner: aiohttp.StreamReader, *, take: Callable[[bytes], str | bool]) -> None:
        self._inner, self._take = inner, take

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest, taken = b"", 0
        async for data in self._inner.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            reached = ""
            for line in lines:
                if not line:
                    continue
                found = self._take(line)
                if found is False:
                    reached = ""  # kopf reads it where it stands
                    yield json_codec.cut(line) + b"\n"
                    continue
                if found is not True:
                    reached = found
                taken += 1
                if taken % BURST == 0:
                    await asyncio.sleep(0)
            if reached:
                yield BOOKMARK % reached.encode()
        if rest:
            yield rest

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._inner, name)
        return found
