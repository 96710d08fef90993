"""Whether a new run's payload matches its task's ``payloadSchema``, found out before the run is created.

A schema may ask for any amount of work, so it is checked by a worker process (``tidegate_api.payload_schema``) within bounds
that the kernel keeps. It is a kindness to callers: where it can't be checked here and now, the operator checks, by the same rule.
"""

import json
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

import structlog

log = structlog.stdlib.get_logger(__name__)

CHECK_SECONDS = 2.0
MEMORY_BYTES = 256 << 20
PATIENCE_SECONDS = 5.0
"""So long a request waits for its turn, and for a worker that is stopped."""


class SchemaWorker:
    """One worker, started on first need, kept, and replaced when it has ended. For any thread."""

    def __init__(self, *, seconds: float = CHECK_SECONDS, memory: int = MEMORY_BYTES) -> None:
        self._seconds, self._memory = seconds, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def mismatch(self, schema: Mapping[str, object], payload: object) -> str | None:
        """What is wrong with a payload, or with the schema; None when nothing is, or it can't be checked now."""
        try:
            asked = {"schema": json.dumps(schema, separators=(",", ":")), "payload": payload}
            line = json.dumps(asked, separators=(",", ":")).encode() + b"\n"
        except RecursionError:
            return "payloadSchema or the payload is nested too deeply"
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            return None
        try:
            return self._ask(line)
        except OSError as error:
            log.warning("payloads can't be checked", reason=str(error))
            self._end()
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the worker."""
        with self._lock:
            self._end()

    def _ask(self, line: bytes) -> str | None:
        # Twice: the worker may have ended since, or for what an earlier check has left in its memory.
        for _ in range(2):
            answer = self._exchange(line)
            if answer.endswith(b"\n"):
                found = json.loads(answer)
                return None if found is None else str(found["message"])
            if self._end() == -signal.SIGALRM:
                return f"the check of the payload against payloadSchema took longer than {self._seconds:g} s"
        return None

    def _exchange(self, line: bytes) -> bytes:
        """The worker's answer; not a whole line when it ended."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidegate_api.payload_schema", str(self._seconds), str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            return b""
        ready, _, _ = select.select([stdout], [], [], self._seconds + PATIENCE_SECONDS)
        return stdout.readline() if ready else b""

    def _end(self) -> int | None:
        """The exit code of the worker, which is gone afterwards."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                continue
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
