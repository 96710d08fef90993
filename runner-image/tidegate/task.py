"""``@task``: marks a function as a task, and keeps what it needs in a run: its signature and its hooks."""

from __future__ import annotations

import functools
from typing import Any, Callable, Generic, Optional, TypeVar, Union, overload

F = TypeVar("F", bound=Callable[..., Any])
Hook = Callable[[], Any]


class Task(Generic[F]):
    """A task: still the function, to be called in tests and by other code as before."""

    __name__: str

    def __init__(self, function: F, *, name: Optional[str] = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.cancel_hooks: list[Hook] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def on_cancel(self, hook: Hook) -> Hook:
        """Run ``hook`` when the pod is told to stop. Decorates; several run in the order they were added."""
        self.cancel_hooks.append(hook)
        return hook

    def __repr__(self) -> str:
        return f"<task {self.name}>"


@overload
def task(function: F) -> Task[F]: ...
@overload
def task(*, name: Optional[str] = None) -> Callable[[F], Task[F]]: ...
def task(function: Optional[F] = None, *, name: Optional[str] = None) -> Union[Task[F], Callable[[F], Task[F]]]:
    """Make a function a task: ``@task`` or ``@task(name="resize")``.

    Its arguments are filled from the payload by name and checked against their annotations: plain types, containers of
    them, ``Optional``, ``Union``, ``Literal``, enums, dataclasses and ``TypedDict``.
    """
    if function is not None:
        return Task(function)
    return lambda f: Task(f, name=name)
