"""One address for the pages and their streams, as an Ingress gives it: a browser opens both at the site that it is on.

A connection carries one request, so that its path alone says where it leads.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from support.servers import free_port

STREAMS: Final = b"/live/"
CHUNK: Final = 65_536
CONNECTION: Final = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


@contextmanager
def door(*, web: int, live: int) -> Iterator[str]:
    """The address of a door to the processes behind these ports; a thread keeps it open."""
    port, ready = free_port(), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Either side may go away in the middle; then the other one goes too.
        with suppress(OSError, asyncio.IncompleteReadError):
            await _lead(reader, writer, web=web, live=live)
        writer.close()

    async def serve() -> None:
        # Not as a context: later Pythons wait there for streams, which end when the runner cancels what is left.
        server = await asyncio.start_server(lead, "127.0.0.1", port)
        ready.set()
        await stop.wait()
        server.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="door", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, web: int, live: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ", 2)[1]
    there, onwards = await asyncio.open_connection("127.0.0.1", live if path.startswith(STREAMS) else web)
    onwards.write(CONNECTION.sub(b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n")
    asked = asyncio.create_task(_pass_on(reader, onwards))
    try:
        await _pass_on(there, writer)
    finally:
        asked.cancel()
        onwards.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The browser has gone: the stream that it read must end at its server too.
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
