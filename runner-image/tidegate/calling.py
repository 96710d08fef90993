"""A function of the task is called, and what it returns is awaited if it can be: however a coroutine function is wrapped."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Awaitable, Callable, Iterable, Mapping, Optional

from tidegate import streams
from tidegate.errors import EntrypointError, RunCancelled

if TYPE_CHECKING:
    import asyncio

    from tidegate.interruption import Interruption


def call(
    function: Callable[..., object],
    args: Iterable[object] = (),
    kwargs: Optional[Mapping[str, object]] = None,
    *,
    interruption: Optional[Interruption] = None,
) -> object:
    """What the function returns; of an awaitable, what it comes to."""
    value = function(*args, **(kwargs or {}))
    # By the value and not by the function: a plain decorator, a partial or a callable object hides that it is a coroutine's.
    if inspect.isawaitable(value):
        return settle(value, interruption=interruption)
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise EntrypointError("the function is a generator, of which nothing runs: return a list, or nothing")
    return value


def settle(awaitable: Awaitable[object], *, interruption: Optional[Interruption] = None) -> object:
    """Await something in a loop of its own, as ``asyncio.run`` does; SIGTERM cancels it where it awaits.

    After a cancellation threads of ``asyncio.to_thread`` aren't waited for: nothing can interrupt them.
    """
    import asyncio

    # A future belongs to the loop that it was made in.
    loop = awaitable.get_loop() if isinstance(awaitable, asyncio.Future) else asyncio.new_event_loop()

    async def wait() -> object:
        return await awaitable

    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(wait())
        if interruption is not None:
            interruption.enter_loop(loop, task.cancel)
        try:
            return loop.run_until_complete(task)
        finally:
            if interruption is not None:
                interruption.leave_task()
            _close(loop, threads=interruption is None or not interruption.received)
    except asyncio.CancelledError:
        if interruption is not None and interruption.received:
            raise RunCancelled("SIGTERM") from None
        raise
    finally:
        if interruption is not None:
            interruption.leave_loop()
        asyncio.set_event_loop(None)
        loop.close()


def _close(loop: asyncio.AbstractEventLoop, *, threads: bool) -> None:
    """End what the coroutine has left in its loop."""
    import asyncio

    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and task.exception() is not None:
            loop.call_exception_handler(
                {"message": "a task failed while it was ended", "exception": task.exception(), "task": task}
            )
    loop.run_until_complete(loop.shutdown_asyncgens())
    if threads:
        loop.run_until_complete(loop.shutdown_default_executor())


def run_hooks(hooks: Iterable[Callable[..., object]], *args: object) -> None:
    """Hooks that can't change how the attempt ends any more: what they raise is logged, and the others have their turn."""
    for hook in hooks:
        try:
            made = hook(*args)
            if inspect.isawaitable(made):
                settle(made)
        except BaseException as error:  # SystemExit and CancelledError too
            streams.show(error)
