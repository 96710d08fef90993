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
from tidegate_api.payload_mistakes import Mistake

from tidegate_web.shared.json_types import JsonObject, as_objects, as_text, is_object

log = structlog.stdlib.get_logger(__name__)

CHECK_SECONDS = 2.0
MEMORY_BYTES = 256 << 20
PATIENCE_SECONDS = 5.0
"""So long a request waits for its turn, and for a worker that is stopped."""
MOST_MISTAKES = 20


class SchemaWorker:
    """One worker, started on first need, kept, and replaced when it has ended. For any thread."""

    def __init__(self, *, seconds: float = CHECK_SECONDS, memory: int = MEMORY_BYTES) -> None:
        self._seconds, self._memory = seconds, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def mismatch(self, schema: Mapping[str, object], payload: object) -> str | None:
        """What is wrong with a payload, or with the schema; None when nothing is, or it can't be checked now."""
        answer = self._asked(schema, payload)
        return None if answer is None else as_text(answer.get("message"))

    def mistakes(self, schema: Mapping[str, object], payload: object) -> list[Mistake] | None:
        """All that is wrong with a payload, up to a number; None when it can't be checked now."""
        answer = self._asked(schema, payload, most=MOST_MISTAKES)
        if answer is None:
            return None
        if (message := as_text(answer.get("message"))) is not None:
            return [Mistake("", message)]
        return [
            Mistake(as_text(each.get("at")) or "", as_text(each.get("message")) or "")
            for each in as_objects(answer.get("mistakes"))
        ]

    def _asked(self, schema: Mapping[str, object], payload: object, **more: int) -> JsonObject | None:
        try:
            asked = {"schema": json.dumps(schema, separators=(",", ":")), "payload": payload, **more}
            line = json.dumps(asked, separators=(",", ":")).encode() + b"\n"
        except RecursionError:
            return {"message": "payloadSchema or the payload is nested too deeply"}
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

    def _ask(self, line: bytes) -> JsonObject | None:
        # Twice: the worker may have ended since, or for what an earlier check has left in its memory.
        for _ in range(2):
            answer = self._exchange(line)
            if answer.endswith(b"\n"):
                found: object = json.loads(answer)
                return found if is_object(found) else None
            if self._end() == -signal.SIGALRM:
                return {
                    "message": f"the check of the payload against payloadSchema took longer than {self._seconds:g} s"
                }
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
