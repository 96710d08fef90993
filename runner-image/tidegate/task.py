"""``@task``: marks a function as a task, and keeps what belongs to it: hooks, and what its runs get where nothing else is said."""

from __future__ import annotations

import functools
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generic,
    Iterable,
    Mapping,
    NamedTuple,
    Optional,
    TypeVar,
    Union,
    overload,
)

if TYPE_CHECKING:
    import datetime as dt

    from tidegate.client import Handle

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Callable[..., Any])


class Retry(NamedTuple):
    """How failed attempts are repeated; what is None is left to the platform's default."""

    max_attempts: Optional[int] = None
    """Attempts in all, 1 to 100."""
    initial_delay: Optional[int] = None
    """Seconds before the second attempt."""
    max_delay: Optional[int] = None
    """Seconds, at most, between two."""
    factor: Optional[int] = None
    """By which each delay is longer than the one before."""
    jitter: Optional[bool] = None
    """Whether delays are shortened by up to half, each differently."""
    non_retryable_exit_codes: Optional[tuple[int, ...]] = None
    """Exit codes that end the run, 1 to 255."""
    out_of_memory: Optional[Mapping[str, Any]] = None
    """Kubernetes resources for the attempts after the kernel has killed one for its memory."""


class Task(Generic[F]):
    """A task: still the function, to be called in tests and by other code as before."""

    __name__: str

    def __init__(
        self,
        function: F,
        *,
        name: Optional[str] = None,
        queue: Optional[str] = None,
        retry: Optional[Retry] = None,
        timeout: Optional[int] = None,
        resources: Optional[Mapping[str, Any]] = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        own = getattr(function, "__name__", type(function).__name__)  # a partial and a callable object have none
        self.name = name or own.replace("_", "-").strip("-").lower()
        self.queue = queue
        self.retry = retry
        self.timeout = timeout
        self.resources = resources
        self.start_hooks: list[Callable[[], Any]] = []
        self.success_hooks: list[Callable[[Any], Any]] = []
        self.failure_hooks: list[Callable[[BaseException], Any]] = []
        self.cancel_hooks: list[Callable[[], Any]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def on_start(self, hook: H) -> H:
        """Run ``hook()`` before the function, in each attempt. What it raises fails the attempt. Decorates, as all of these do."""
        self.start_hooks.append(hook)
        return hook

    def on_success(self, hook: H) -> H:
        """Run ``hook(result)`` when the result is stored. What it raises is logged, and changes nothing any more."""
        self.success_hooks.append(hook)
        return hook

    def on_failure(self, hook: H) -> H:
        """Run ``hook(error)`` when the attempt fails by an exception: ``AbortRun`` and ``RetryAfter`` among them."""
        self.failure_hooks.append(hook)
        return hook

    def on_cancel(self, hook: H) -> H:
        """Run ``hook()`` when the pod is told to stop. Several run in the order they were added."""
        self.cancel_hooks.append(hook)
        return hook

    def submit(
        self,
        payload: Optional[Mapping[str, Any]] = None,
        *,
        priority: Optional[int] = None,
        delay: Optional[float] = None,
        start_after: Optional[dt.datetime] = None,
        idempotency_key: Optional[str] = None,
        queue: Optional[str] = None,
        concurrency_key: Optional[str] = None,
        depends_on: Iterable[Union[Handle, str]] = (),
        tags: Iterable[str] = (),
        name: Optional[str] = None,
    ) -> Handle:
        """Start a run of the Task that has this task's name, and return without waiting for it.

        ``delay`` is in seconds from now; ``start_after`` is a time with a zone. With an ``idempotency_key`` there is
        one run a key, however often it is asked for, with the start time of the first call. ``depends_on`` has the runs,
        handles or names, that have to succeed before this one starts; when one can't any more, this one ends as Skipped. In a
        run this makes a child of it. Where it goes is in
        ``tidegate.client.connect``, and so is what that raises; ApiError when the run is refused.
        """
        from tidegate.client import connect, order

        wanted = order(
            self.name,
            payload,
            priority=priority,
            delay=delay,
            start_after=start_after,
            idempotency_key=idempotency_key,
            queue=queue,
            concurrency_key=concurrency_key,
            depends_on=depends_on,
            tags=tags,
            name=name,
        )
        return connect().submit(wanted)

    def submit_many(
        self,
        payloads: Iterable[Mapping[str, Any]],
        *,
        priority: Optional[int] = None,
        batch: Optional[str] = None,
        idempotency_keys: Optional[Iterable[str]] = None,
    ) -> list[Handle]:
        """Start a run for each payload; handles in their order. ``batch`` is a name by which they are found together.

        ``idempotency_keys`` has one for each payload. SubmitManyFailed (an ApiError) when some were not made: it has the
        handles of the others.
        """
        from tidegate.client import connect, order

        given = list(payloads)
        keys = [None] * len(given) if idempotency_keys is None else list(idempotency_keys)
        if len(keys) != len(given):
            raise ValueError(f"there are {len(given)} payloads and {len(keys)} idempotency_keys")
        wanted = [
            order(self.name, payload, priority=priority, batch=batch, idempotency_key=key)
            for payload, key in zip(given, keys)
        ]
        return connect().submit_many(wanted) if wanted else []

    def __repr__(self) -> str:
        return f"<task {self.name}>"


@overload
def task(function: F) -> Task[F]: ...
@overload
def task(
    *,
    name: Optional[str] = None,
    queue: Optional[str] = None,
    retry: Optional[Retry] = None,
    timeout: Optional[int] = None,
    resources: Optional[Mapping[str, Any]] = None,
) -> Callable[[F], Task[F]]: ...
def task(
    function: Optional[F] = None,
    *,
    name: Optional[str] = None,
    queue: Optional[str] = None,
    retry: Optional[Retry] = None,
    timeout: Optional[int] = None,
    resources: Optional[Mapping[str, Any]] = None,
) -> Union[Task[F], Callable[[F], Task[F]]]:
    """Make a function a task: ``@task`` or ``@task(name="resize", retry=Retry(max_attempts=5), timeout=600)``.

    Its arguments are filled from the payload by name and checked against their annotations: plain types, containers of
    them, ``Optional``, ``Union``, ``Literal``, enums, dataclasses, ``TypedDict`` and pydantic's models.

    ``name`` is the Task's in the cluster (the function's, with ``-`` for ``_``); ``queue``, ``retry``, ``timeout`` (seconds of
    an attempt, 0 for none) and ``resources`` (as in a container) are written into its manifest (``tidegate.manifests``).
    """
    if function is not None:
        return Task(function)
    return lambda f: Task(f, name=name, queue=queue, retry=retry, timeout=timeout, resources=resources)
