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
    from typing_extensions import Unpack

    from tidegate.client import Handle, RunOptions

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Callable[..., object])


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
    out_of_memory: Optional[Mapping[str, object]] = None
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
        resources: Optional[Mapping[str, object]] = None,
        pool: Optional[str] = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        own = getattr(function, "__name__", type(function).__name__)  # a partial and a callable object have none
        self.name = name or own.replace("_", "-").strip("-").lower()
        self.queue = queue
        self.retry = retry
        self.timeout = timeout
        self.resources = resources
        self.pool = pool
        self.start_hooks: list[Callable[[], object]] = []
        self.success_hooks: list[Callable[[Any], object]] = []
        self.failure_hooks: list[Callable[[BaseException], object]] = []
        self.cancel_hooks: list[Callable[[], object]] = []

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
        """Run ``hook()`` when the pod is asked to stop. Several run in the order they were added."""
        self.cancel_hooks.append(hook)
        return hook

    def submit(
        self,
        payload: Optional[Mapping[str, object]] = None,
        *,
        name: Optional[str] = None,
        idempotency_key: Optional[str] = None,
        **options: Unpack[RunOptions],
    ) -> Handle:
        """Start a run of this task and return at once; ``options`` are those of ``tidegate.client.RunOptions``.

        With an ``idempotency_key`` there is one run a key, however often it is submitted. Where it goes is in
        ``tidegate.client.connect``, and so is what that raises; ApiError when the run is refused.
        """
        from tidegate.client import connect, run_body

        body = run_body(self.name, payload, name=name, idempotency_key=idempotency_key, **options)
        return connect().submit(body, queue=self.queue)

    def submit_many(
        self,
        payloads: Iterable[Mapping[str, object]],
        *,
        idempotency_keys: Optional[Iterable[str]] = None,
        **options: Unpack[RunOptions],
    ) -> list[Handle]:
        """Start a run for each payload; handles in their order. ``options`` are those of ``submit``, for all of them.

        ``idempotency_keys`` has one for each payload. SubmitManyFailed (an ApiError) when some were not made: it has the
        handles of the others.
        """
        from tidegate.client import connect, run_body

        given = list(payloads)
        keys = [None] * len(given) if idempotency_keys is None else list(idempotency_keys)
        if len(keys) != len(given):
            raise ValueError(f"there are {len(given)} payloads and {len(keys)} idempotency_keys")
        for field in ("depends_on", "tags"):
            if options.get(field) and not isinstance(options[field], str):
                options[field] = list(options[field])  # an iterator serves one run
        bodies = [run_body(self.name, payload, idempotency_key=key, **options) for payload, key in zip(given, keys)]
        return connect().submit_many(bodies, queue=self.queue) if bodies else []

    def __repr__(self) -> str:
        return f"<task {self.name}>"


AnyTask = Task[Any]
"""A task of whatever function."""


@overload
def task(function: F) -> Task[F]: ...
@overload
def task(
    *,
    name: Optional[str] = None,
    queue: Optional[str] = None,
    retry: Optional[Retry] = None,
    timeout: Optional[int] = None,
    resources: Optional[Mapping[str, object]] = None,
    pool: Optional[str] = None,
) -> Callable[[F], Task[F]]: ...
def task(
    function: Optional[F] = None,
    *,
    name: Optional[str] = None,
    queue: Optional[str] = None,
    retry: Optional[Retry] = None,
    timeout: Optional[int] = None,
    resources: Optional[Mapping[str, object]] = None,
    pool: Optional[str] = None,
) -> Union[Task[F], Callable[[F], Task[F]]]:
    """Make a function a task: ``@task`` or ``@task(name="resize", retry=Retry(max_attempts=5), timeout=600)``.

    Its arguments are filled from the payload by name and checked against their annotations: plain types, containers of
    them, ``Optional``, ``Union``, ``Literal``, enums, dataclasses, ``TypedDict`` and pydantic's models.

    ``name`` is the Task's in the cluster (the function's, with ``-`` for ``_``); ``queue``, ``retry``, ``timeout`` (seconds of
    an attempt, 0 for none) and ``resources`` (as in a container) are written into its manifest (``tidegate.manifests``).
    ``pool`` is a WorkerPool that runs it warm, instead of an image; then ``resources`` are the pool's.
    """
    if function is not None:
        return Task(function)
    return lambda f: Task(f, name=name, queue=queue, retry=retry, timeout=timeout, resources=resources, pool=pool)
