"""What a watch only repeats of our own writes, dropped before it is decoded.

The answer to a write is in the cache at once, so its event says nothing new; yet kopf would decode it, make it a queue, a
task and loggers, and hand it over to be found old. That is half of all events of a run, and an eighth of what it costs.

A version is that of one write to the whole store: no two objects ever have the same.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import aiohttp
from aiohttp.connector import Connection

from tidegate_operator import json_codec

MOST_NOTED: Final = 10_000
"""Versions remembered whose events have not come, as when a watch lists again."""

# The apiserver writes a custom resource with sorted keys: metadata before spec and status, in it resourceVersion after
# annotations and labels, whose values have their quotes escaped.
_VERSION: Final = re.compile(rb'"resourceVersion":"(\d+)"')
_MODIFIED: Final = b'{"type":"MODIFIED"'


class OwnWrites:
    """Versions that our own writes have made and whose events are still to come."""

    def __init__(self) -> None:
        self._versions: dict[bytes, None] = {}

    def note(self, version: str) -> None:
        """A write was answered with this version, and the cache has it."""
        if len(self._versions) >= MOST_NOTED:
            del self._versions[next(iter(self._versions))]
        self._versions[version.encode()] = None

    def is_echo(self, line: bytes) -> bool:
        """Whether a line of a watch reports one of them; it is forgotten then."""
        if not self._versions or not line.startswith(_MODIFIED):
            return False
        found = _VERSION.search(line)
        if found is None or found[1] not in self._versions:
            return False
        del self._versions[found[1]]
        return True


def without_echoes(own_writes: OwnWrites, *, on_echo: Callable[[str], None]) -> type[aiohttp.ClientResponse]:
    """A class of responses whose watches lack echoes. `on_echo` hears the path of the watch that had one."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            await super().start(connection)
            if "watch" in self.url.query:
                path = self.url.path
                content = _Lines(self.content, drop=own_writes.is_echo, on_drop=lambda: on_echo(path))
                self.content = cast("aiohttp.StreamReader", content)
            return self

        async def json(self, **_: object) -> object:
            """A list, by the reader that no nesting ends: kopf's own watch of the kind would end, again after every start."""
            return json_codec.loads(await self.read())

    return Response


class _Lines:
    """A stream of lines without those that are to be dropped. A reader gets whole lines at a time."""

    def __init__(
        self, inner: aiohttp.StreamReader, *, drop: Callable[[bytes], bool], on_drop: Callable[[], None]
    ) -> None:
        self._inner, self._drop, self._on_drop = inner, drop, on_drop

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for data in self._inner.iter_chunked(size):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if self._drop(line):
                    self._on_drop()
                elif line:
                    yield json_codec.cut(line) + b"\n"
        if rest:
            yield rest

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._inner, name)
        return found
