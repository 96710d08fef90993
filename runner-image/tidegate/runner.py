"""Runs one task in a pod: payload in, result or failure out, within the contract of files and exit codes.

Exit codes: 0 for a result, 1 for a failure to be retried, 64 for one that never will succeed (AbortRun, NeedsApi, an
entrypoint that can't be imported, a payload that doesn't fit), 65 for RetryAfter, 143 after SIGTERM.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Callable, Iterator, Mapping, Optional

from tidegate import streams
from tidegate.arguments import bind
from tidegate.calling import call, run_hooks
from tidegate.current import Run, slot
from tidegate.ending import Ending
from tidegate.errors import AbortRun, ApiError, PayloadError, RetryAfter, RunCancelled
from tidegate.failures import FAILED, NotKept, ResultRefused, failure, leaves, one_line
from tidegate.interruption import Interruption
from tidegate.loading import load
from tidegate.results import encode
from tidegate.task import AnyTask

TERMINATED = 143


class Attempt:
    """An attempt of a run, in the process that is for it alone."""

    def __init__(self, *, on_start: Optional[Callable[[], object]] = None) -> None:
        self._on_start = on_start
        """Called when the function is about to be."""
        self._task: Optional[AnyTask] = None
        self._interruption = Interruption()
        self._ending = Ending(self._interruption)

    def run(self, entrypoint: str) -> int:
        """Run ``package.module:function``; the exit code. It is for the caller to end Python with it."""
        streams.prepare()
        self._interruption.install()
        code = self._outcome(entrypoint)
        if self._interruption.in_child:
            return code
        if code == TERMINATED and self._interruption.received:
            self._ending.at_once(code)
        self._ending.begin(code, stopped=lambda: self._cancel() if code == 0 else code)
        return code

    def _outcome(self, entrypoint: str) -> int:
        try:
            here = slot.current_or_detached()
            self._task = load(entrypoint)
            value = perform(self._task, _payload(), interruption=self._interruption, on_start=self._on_start)
            if self._interruption.in_child:
                return 0
            _keep(_stored(here, encode(value)))
            return self._succeed(value)
        except BaseException as error:
            if self._interruption.in_child:
                return _of_child(error)
            self._interruption.ignore()
            return self._ended_by(error)

    def _succeed(self, value: object) -> int:
        self._interruption.ignore()
        run_hooks(self._task.success_hooks if self._task else (), value)
        return 0

    def _ended_by(self, error: BaseException) -> int:
        if self._interruption.received and _is_cancellation(error):
            if not isinstance(error, RunCancelled):
                _show(error)
            return self._cancel()
        if isinstance(error, SystemExit) and not error.code:
            return self._succeed(None)
        run_hooks(self._task.failure_hooks if self._task else (), error)
        if isinstance(error, SystemExit):
            return _exit(error)
        found = failure(error)
        if found.trace is not None:
            _show(found.trace)
        if found.is_document:
            _write(found.text)
            return found.code
        return _fail(found.text, found.code)

    def _cancel(self) -> int:
        """The process was asked to stop."""
        run_hooks(self._task.cancel_hooks if self._task else ())
        return _fail("terminated by SIGTERM", TERMINATED)


def perform(
    task: AnyTask,
    payload: Mapping[str, object],
    *,
    interruption: Optional[Interruption] = None,
    on_start: Optional[Callable[[], object]] = None,
) -> object:
    """Call the task with what the payload says, its start hooks first."""
    args, kwargs = bind(task.function, payload)
    if on_start is not None:
        on_start()
    for hook in task.start_hooks:
        call(hook, interruption=interruption)
    return call(task.function, args, kwargs, interruption=interruption)


def _payload() -> dict[str, object]:
    path = os.environ.get("TIDEGATE_PAYLOAD_FILE")
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            payload = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise PayloadError(f"can't read the payload: {error}") from error
    if not isinstance(payload, dict):
        raise PayloadError(f"the payload must be a JSON object, not {type(payload).__name__}")
    return payload


def _stored(here: Run, text: str) -> str:
    """What goes into the result file: the result, or where a larger one is."""
    limit = int(os.environ.get("TIDEGATE_RESULT_MAX_BYTES", "4096"))
    data = text.encode()
    if len(data) <= limit:
        return text
    if not here.connection.stores:
        # The kubelet cuts it, and by that the operator knows: Failed/ResultTooLarge.
        streams.say(f"the result has {len(data)} bytes, at most {limit} are kept where no web app is installed")
        return text
    try:
        stored = here.connection.store_result(data, seconds=here.time_budget())
    except ApiError as error:
        problem = f"the result of {len(data)} bytes can't be stored: {error}"
        if error.status == 413:
            streams.say(problem)
            raise ResultRefused(problem) from error
        if error.status in (400, 415, 422):
            raise AbortRun(problem) from error
        raise NotKept(problem) from error
    return json.dumps({"tidegate.dev/resultRef": {"bytes": stored.bytes, "sha256": stored.sha256}})


def _keep(text: str) -> None:
    problem = _write(text)
    if problem is not None:
        raise NotKept(f"the task has ended, and its result can't be written: {problem}")


def _write(text: str) -> Optional[OSError]:
    """Write the result file; why that can't be done."""
    path = os.environ.get("TIDEGATE_RESULT_FILE")
    if path and text:
        try:
            with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            return error
    return None


def _fail(message: str, code: int) -> int:
    line = one_line(message)
    streams.say(line)
    problem = _write(line)
    if problem is not None:
        streams.say(f"the message can't be written: {problem}")
    return code


def _exit(error: SystemExit) -> int:
    """What the task asked for by ``sys.exit``."""
    if isinstance(error.code, int):
        return error.code & 0xFF or FAILED
    return _fail(str(error.code), FAILED)


def _of_child(error: BaseException) -> int:
    """A forked child that left the task's function: as Python ends it, and the outcome of its parent stays as it is."""
    if not isinstance(error, SystemExit):
        streams.show(error)
        return FAILED
    if isinstance(error.code, (int, type(None))):
        return (error.code or 0) & 0xFF
    streams.write(sys.stderr, f"{error.code}\n")
    return FAILED


def _is_cancellation(error: BaseException) -> bool:
    """Whether an exception comes from the SIGTERM. What the task asks for by one of its own afterwards counts as that."""
    if isinstance(error, SystemExit) or any(isinstance(leaf, (AbortRun, RetryAfter)) for leaf in leaves(error)):
        return False
    asyncio = sys.modules.get("asyncio")
    kinds = (RunCancelled,) if asyncio is None else (RunCancelled, asyncio.CancelledError)
    return any(isinstance(one, kinds) for one in _related(error, set()))


def _related(error: Optional[BaseException], met: set[int]) -> Iterator[BaseException]:
    """An exception, those in it, and those that it followed."""
    if error is None or id(error) in met:
        return
    met.add(id(error))
    yield error
    for leaf in leaves(error):
        for one in (leaf, leaf.__cause__, leaf.__context__):
            yield from _related(one, met)
    yield from _related(error.__cause__, met)
    yield from _related(error.__context__, met)


def _show(error: BaseException) -> None:
    """The traceback without the runner's own frames and those of the event loop: the first line is the task's."""
    own = {os.path.dirname(__file__)}
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio.__file__:
        own.add(os.path.dirname(asyncio.__file__))
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in own:
        trace = trace.tb_next
    if trace is not None or next(leaves(error)) is not error:  # else the message says all
        streams.show(error, trace)
