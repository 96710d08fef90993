"""Runs one task in a pod: payload in, result or failure out, within the contract of files and exit codes.

Exit codes: 0 for a result, 1 for a failure to be retried, 64 for one that never will succeed (AbortRun, NeedsApi, an
entrypoint that can't be imported, a payload that doesn't fit), 65 for RetryAfter, 143 after SIGTERM.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Iterable, Mapping, Optional

from tidegate.arguments import bind
from tidegate.current import Run, slot
from tidegate.errors import AbortRun, ApiError, EntrypointError, NeedsApi, PayloadError, RetryAfter, RunCancelled
from tidegate.task import Task

FAILED, ABORTED, RETRY_LATER, TERMINATED = 1, 64, 65, 143
MESSAGE_MAX = 1000


def run(entrypoint: str) -> int:
    """Run ``package.module:function``; returns the exit code."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)  # what a task prints is seen when it prints it
    task: Optional[Task[Any]] = None
    interruption = _Interruption()
    interruption.install()
    try:
        here = slot.run_or_stranger()
        task = load(entrypoint)
        value = perform(task, _payload())
        _write(_kept(here, encode(value)))
        interruption.ignore()
        run_hooks(task.success_hooks, value)
        return 0
    except RunCancelled:
        interruption.ignore()
        run_hooks(task.cancel_hooks if task else ())
        return _fail("terminated by SIGTERM", TERMINATED)
    except SystemExit as error:
        return _exit(error)
    except BaseException as error:
        interruption.ignore()
        run_hooks(task.failure_hooks if task else (), error)
        return _failed(error)
    finally:
        interruption.ignore()
        slot.close()


def perform(task: Task[Any], payload: Mapping[str, Any]) -> Any:
    """Call the task with what the payload says, its start hooks first."""
    args, kwargs = bind(task.function, payload)
    for hook in task.start_hooks:
        _call(hook, (), {})
    return _call(task.function, args, kwargs)


def run_hooks(hooks: Iterable[Callable[..., Any]], *args: Any) -> None:
    """Hooks that can't change how the attempt ends any more: what they raise is logged."""
    for hook in hooks:
        try:
            made = hook(*args)
            if inspect.isawaitable(made):
                import asyncio

                async def wait(awaitable: Any = made) -> None:
                    await awaitable

                asyncio.run(wait())
        except (Exception, SystemExit):
            # The other hooks still have their turn.
            traceback.print_exc()


def _failed(error: BaseException) -> int:
    """Tell of an exception; the exit code that it stands for."""
    if isinstance(error, AbortRun):
        return _fail(str(error) or "aborted", ABORTED)
    if isinstance(error, RetryAfter):
        _write(json.dumps({"retryAfterSeconds": error.seconds, "message": _one_line(str(error))}))
        return RETRY_LATER
    if isinstance(error, (EntrypointError, PayloadError)):
        if error.__cause__ is not None:
            traceback.print_exception(type(error.__cause__), error.__cause__, error.__cause__.__traceback__)
        return _fail(str(error), ABORTED)
    if isinstance(error, _NotStored):
        return _fail(str(error), FAILED)
    _print_traceback(error)
    return _fail(describe(error), ABORTED if isinstance(error, NeedsApi) else FAILED)


def load(entrypoint: str) -> Task[Any]:
    """Import the task. A plain function is one too."""
    module_name, _, name = entrypoint.partition(":")
    if not module_name or not name:
        raise EntrypointError(f"{entrypoint!r} is not an entrypoint: it must look like package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise EntrypointError(f"can't import {module_name}: {describe(error)}") from error
    try:
        found = getattr(module, name)
    except AttributeError:
        raise EntrypointError(f"{module_name} has no {name}") from None
    if isinstance(found, Task):
        return found
    if not callable(found):
        raise EntrypointError(f"{entrypoint} is a {type(found).__name__}, not a function")
    return Task(found)


def describe(error: BaseException) -> str:
    """One clean line, as the last of a traceback."""
    text = str(error)
    return _one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class _Interruption:
    """Turns SIGTERM into RunCancelled inside the task."""

    def __init__(self) -> None:
        self.ignored = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._raise)

    def ignore(self) -> None:
        """What comes now must not interrupt the cleaning up."""
        self.ignored = True

    def _raise(self, *_: object) -> None:
        if not self.ignored:
            self.ignored = True
            raise RunCancelled("SIGTERM")


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not inspect.iscoroutinefunction(function):
        return function(*args, **kwargs)
    import asyncio

    async def main() -> Any:
        current = asyncio.current_task()
        assert current is not None
        if threading.current_thread() is threading.main_thread():
            # A coroutine is interrupted where it awaits: its own handlers see an ordinary cancellation.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
        return await function(*args, **kwargs)

    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise RunCancelled("SIGTERM") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # the loop leaves the default behind


def _payload() -> dict[str, Any]:
    path = os.environ.get("TIDEGATE_PAYLOAD_FILE")
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            payload = json.load(file)
    except (OSError, ValueError) as error:
        raise PayloadError(f"can't read the payload: {error}") from error
    if not isinstance(payload, dict):
        raise PayloadError(f"the payload must be a JSON object, not {type(payload).__name__}")
    return payload


def encode(result: Any) -> str:
    """A result as JSON, empty for None. Raises TypeError for what is none."""
    if result is None:
        return ""
    try:
        text = json.dumps(result, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the result is not JSON: {error}") from error
    # Half a pair of UTF-16 is no text elsewhere: as an escape it is.
    return text if _is_unicode(text) else json.dumps(result, allow_nan=False, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _NotStored(Exception):
    """The task has a result, and it could not be kept."""


def _kept(here: Run, text: str) -> str:
    """What goes into the result file: the result, or where a larger one is."""
    limit = int(os.environ.get("TIDEGATE_RESULT_MAX_BYTES", "4096"))
    data = text.encode()
    if len(data) <= limit:
        return text
    if not here.connection.stores:
        # The kubelet cuts it, and by that the operator knows: Failed/ResultTooLarge.
        sys.stderr.write(
            f"tidegate: the result has {len(data)} bytes, at most {limit} are kept where no web part is installed\n"
        )
        return text
    try:
        stored = here.connection.store_result(data, seconds=here.patience())
    except ApiError as error:
        problem = f"the result of {len(data)} bytes can't be stored: {error}"
        if error.status in (400, 413, 415, 422):
            raise AbortRun(problem) from error
        raise _NotStored(problem) from error
    return json.dumps({"tidegate.dev/resultRef": {"bytes": stored.bytes, "sha256": stored.sha256}})


def _write(text: str) -> None:
    path = os.environ.get("TIDEGATE_RESULT_FILE")
    if not path or not text:
        return
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def _fail(message: str, code: int) -> int:
    line = _one_line(message)
    sys.stderr.write(f"tidegate: {line}\n")
    _write(line)
    return code


def _exit(error: SystemExit) -> int:
    """What the task asked for by ``sys.exit``."""
    if error.code is None or error.code == 0:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF or FAILED
    return _fail(str(error.code), FAILED)


def _print_traceback(error: BaseException) -> None:
    # Without the runner's own frames: the first line is the task's.
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_MAX]
