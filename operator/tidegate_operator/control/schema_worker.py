"""Payloads checked against their task's schema, in a worker process (`tidegate_api.payload_schema`).

A schema may ask for any amount of work, and the creator of the run chooses it: it must not cost the operator more than a
moment's wait, nor its memory. The worker is started on first need, kept, and replaced when it has ended.
"""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tidegate_api.names import Reason

from tidegate_operator.records.run import Cause

CHECK_SECONDS: Final = 2.0
MEMORY_BYTES: Final = 256 << 20
"""Address space of the worker: it lives within the operator's own memory limit."""

BACKSTOP_SECONDS: Final = 10.0
"""Longer than any start and any check: the worker isn't scheduled, or stopped."""


class SchemaWorker:
    """One worker, and the queue before it.

    `places`: how many may be in the queue. Each holds one of the operator's own places to act, and may have to wait for
    the slow schemas of others, so they must not be all, nor all of one namespace.
    """

    def __init__(self, *, places: int = 32, seconds: float = CHECK_SECONDS, memory: int = MEMORY_BYTES) -> None:
        self._places, self._seconds, self._memory = max(1, places), seconds, memory
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._waiting: Counter[str] = Counter()

    @property
    def pid(self) -> int | None:
        """Of the worker, when there is one."""
        return self._process.pid if self._process is not None else None

    def is_full(self, namespace: str) -> bool:
        """Whether the namespace has to wait before it asks for more."""
        return self._waiting.total() >= self._places or self._waiting[namespace] >= max(1, self._places * 3 // 4)

    async def check(self, namespace: str, schema: Mapping[str, object], payload: Mapping[str, object]) -> Cause | None:
        """Why the run can't go on with this payload, if so."""
        try:
            asked = {"schema": json.dumps(schema, separators=(",", ":")), "payload": payload}
            line = json.dumps(asked, separators=(",", ":")).encode() + b"\n"
        except RecursionError:
            return Cause(Reason.INVALID_TASK, "payloadSchema or the payload is nested too deeply")
        self._waiting[namespace] += 1
        try:
            async with self._lock:
                return await self._ask(line)
        finally:
            self._waiting[namespace] -= 1
            if not self._waiting[namespace]:
                del self._waiting[namespace]

    async def close(self) -> None:
        """End the worker."""
        async with self._lock:
            await self._end()

    async def _ask(self, line: bytes) -> Cause | None:
        # Twice: the worker may have ended for what an earlier check has left in its memory, or by a signal.
        for _ in range(2):
            answer = await self._exchange(line)
            if answer.endswith(b"\n"):
                found = json.loads(answer)
                return None if found is None else Cause(found["reason"], found["message"])
            if await self._end() == -signal.SIGALRM:
                message = f"the check of the payload against payloadSchema took longer than {self._seconds:g} s"
                return Cause(Reason.INVALID_PAYLOAD, message)
        limit = self._memory >> 20
        message = (
            f"the check of the payload against payloadSchema broke off: it needs more than {limit} MiB, or has no end"
        )
        return Cause(Reason.INVALID_PAYLOAD, message)

    async def _exchange(self, line: bytes) -> bytes:
        """The worker's answer; not a whole line when it ended."""
        if self._process is not None and self._process.returncode is not None:
            self._process = None  # it ended while idle
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(BACKSTOP_SECONDS + self._seconds):
                process.stdin.write(line)
                await process.stdin.drain()
                return await process.stdout.readline()
        except (TimeoutError, ConnectionError, RuntimeError):  # the last is uvloop's, for a pipe that has just closed
            return b""
        except asyncio.CancelledError:
            # Else the next one to ask would get this answer.
            process.kill()
            self._process = None
            raise

    async def _start(self) -> Process:
        arguments = (str(self._seconds), str(self._memory))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidegate_api.payload_schema", *arguments, stdin=PIPE, stdout=PIPE
        )
        return self._process

    async def _end(self) -> int | None:
        """The exit code of the worker, which is gone afterwards."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(1.0):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()
