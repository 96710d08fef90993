"""Runs as code sees them: what a client can do, the handle of a run, its state, and the body of a new one.

The kinds of clients differ in how they ask (by API key, by the token of a run, by a kubeconfig), never in what they do. Which one is
used is decided in ``client.py``.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from abc import ABC, abstractmethod
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    TypedDict,
    Union,
    cast,
)

from tidegate.current import slot
from tidegate.errors import ApiError, RunFailed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tidegate.run_json import RunBody, RunJson

SUBMIT_SECONDS = 30.0
FIRST_POLL_SECONDS = 0.25
MOST_POLL_SECONDS = 5.0
TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled", "Expired", "Skipped"})


class RunState(NamedTuple):
    """A run as it was when it was read."""

    name: str
    uid: str
    phase: str
    reason: str = ""
    message: str = ""
    result: object = None
    result_bytes: Optional[int] = None
    """Of a result that stands elsewhere; None when ``result`` is it."""

    @property
    def ended(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.phase in TERMINAL


class Client(ABC):
    """Where runs go. What it raises: ApiError when a request is refused, or not answered for as long as it is tried."""

    @abstractmethod
    def create(self, body: RunBody) -> RunState:
        """Make one run: the spec of a TaskRun, and its ``name``."""

    def create_many(self, bodies: Sequence[RunBody]) -> list[Union[RunState, ApiError]]:
        """Make runs: for each, in their order, RunState or the ApiError why there is none."""
        answers: list[Union[RunState, ApiError]] = []
        for body in bodies:
            try:
                answers.append(self.create(body))
            except ApiError as error:
                answers.append(error)
        return answers

    @abstractmethod
    def look(self, run: RunState, *, seconds: Optional[float]) -> RunState:
        """The run as it is now; asked for ``seconds`` while there is no answer, None for ever."""

    @abstractmethod
    def result(self, run: RunState) -> object:
        """What a run that has succeeded returned."""

    @abstractmethod
    def cancel(self, run: RunState) -> None:
        """Ask for the end of a run; nothing happens to one that has ended."""

    def find(self, name: str) -> Handle:
        """A run that is there, by its name; in a run, one of its children. ApiError with status 404 without one."""
        seen = self.look(RunState(name, "", "Pending"), seconds=SUBMIT_SECONDS)
        if not seen.uid:
            raise ApiError(f"there is no run {name}", status=404)
        return Handle(self, seen)

    def submit(self, body: Mapping[str, object], *, queue: Optional[str] = None) -> Handle:
        """Start a run; ``run_body`` makes its body. ``queue`` is the Task's own, where it is known."""
        known = cast("RunBody", body)
        return Handle(self, self.create(known), queue=known.get("queue", queue))

    def submit_many(self, bodies: Sequence[Mapping[str, object]], *, queue: Optional[str] = None) -> list[Handle]:
        """Start runs; SubmitManyFailed when some were not made, with the handles of those that were."""
        handles: list[Optional[Handle]] = []
        problems: dict[int, ApiError] = {}
        known = cast("Sequence[RunBody]", bodies)
        for number, (body, answer) in enumerate(zip(known, self.create_many(known))):
            if isinstance(answer, ApiError):
                problems[number] = answer
                handles.append(None)
            else:
                handles.append(Handle(self, answer, queue=body.get("queue", queue)))
        if problems:
            raise SubmitManyFailed(handles, problems)
        return [handle for handle in handles if handle is not None]


class SubmitManyFailed(ApiError):
    """Not all runs of ``submit_many`` were made."""

    def __init__(self, handles: list[Optional[Handle]], problems: Mapping[int, ApiError]) -> None:
        first = next(iter(problems))
        super().__init__(
            f"{len(problems)} of {len(handles)} runs were not made; number {first}: {problems[first]}",
            status=problems[first].status,
        )
        self.handles = handles
        """Of each run in its place, None where there is none."""
        self.problems = dict(problems)
        """Why, by place."""


class Handle:
    """A run that was started. It can be pickled; in another process it asks as ``connect()`` does there."""

    def __init__(
        self, client: Union[Client, Callable[[], Client]], state: RunState, queue: Optional[str] = None
    ) -> None:
        """``client``: or what makes one when it is first needed."""
        self._connected, self._state, self._queue = client, state, queue

    @property
    def _client(self) -> Client:
        if not isinstance(self._connected, Client):
            self._connected = self._connected()
        return self._connected

    def __copy__(self) -> Handle:
        return Handle(self._connected, self._state, self._queue)

    def __deepcopy__(self, _: object) -> Handle:
        return Handle(self._connected, self._state, self._queue)

    def without_client(self) -> tuple[RunState, Optional[str]]:
        """What is pickled of it: its client holds a credential."""
        return self._state, self._queue

    @property
    def name(self) -> str:
        """The TaskRun's name."""
        return self._state.name

    @property
    def uid(self) -> str:
        """The TaskRun's uid."""
        return self._state.uid

    def status(self, *, seconds: Optional[float] = SUBMIT_SECONDS) -> RunState:
        """Look now: phase, reason, message. A request that isn't answered is tried again for ``seconds``."""
        if not self._state.ended:
            self._state = self._client.look(self._state, seconds=seconds)
        return self._state

    def wait(self, timeout: Optional[float] = None) -> RunState:
        """Return when the run has ended, in whatever phase. TimeoutError after ``timeout`` seconds; the run goes on.

        A run that waits keeps its own place in its queue. In a queue that is full of such runs, or has the limit 1, parent and
        child wait for each other until a timeout: give children a queue of their own, or use ``depends_on``.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause, answered = FIRST_POLL_SECONDS, False
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                seen = self.status(seconds=left)
            except ApiError as error:
                # The last look has little time. That it gets no answer doesn't mean that the server is away.
                if left is None or not answered or error.status is not None:
                    raise
                raise self._still_going_on(timeout) from error
            if seen.ended:
                return seen
            answered = True
            self._warn_of_queue()
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise self._still_going_on(timeout)
            time.sleep(pause if left is None else min(pause, left))
            pause = min(MOST_POLL_SECONDS, pause * 1.5)

    def _still_going_on(self, timeout: Optional[float]) -> TimeoutError:
        return TimeoutError(f"run {self.name} is {self._state.phase} after {timeout or 0:g} s")

    def _warn_of_queue(self) -> None:
        here = slot.current_or_detached()
        if here.name and self._queue is not None and self._queue == here.queue:
            here.warn_once(
                f"this run keeps its place in queue {here.queue} while it waits for {self.name}, which needs one there too: "
                "in a full queue they wait for each other. Give children another queue, or use depends_on",
                "queue",
            )

    def result(self, timeout: Optional[float] = None) -> Any:
        """What the run returned, once it has ended. RunFailed for any end but Succeeded, TimeoutError as ``wait``."""
        seen = self.wait(timeout)
        if seen.phase != "Succeeded":
            raise RunFailed(seen.name, seen.phase, seen.reason, seen.message)
        return self._client.result(seen)

    def cancel(self) -> None:
        """Ask for the run's end. It is there when ``wait`` returns; nothing happens to a run that has ended."""
        self._client.cancel(self._state)

    def __repr__(self) -> str:
        return f"<run {self.name}, {self._state.phase}>"


class RunOptions(TypedDict, total=False):
    """What may be said of a new run beside its payload: keyword arguments of ``submit``, ``submit_many`` and ``run_body``."""

    priority: Optional[int]
    """Higher first, -1000 to 1000."""
    delay: Optional[float]
    """Seconds before which it isn't started."""
    start_after: Optional[dt.datetime]
    """A time before which it isn't started, with a time zone; not beside ``delay``."""
    queue: Optional[str]
    """Another queue than the Task's."""
    concurrency_key: Optional[str]
    """Its share of the queue."""
    depends_on: Iterable[Union[Handle, str]]
    """Runs, by handle or name, that have to succeed first."""
    tags: Iterable[str]
    """At most 10 words to search by."""
    batch: Optional[str]
    """A name by which runs are found together."""


def run_body(
    task: str,
    payload: Optional[Mapping[str, object]] = None,
    *,
    name: Optional[str] = None,
    idempotency_key: Optional[str] = None,
    **options: Unpack[RunOptions],
) -> dict[str, Any]:
    """The body of a new run of a Task. Without a name and a key it gets a random name: what is sent twice makes one run."""
    unknown = sorted(options.keys() - RunOptions.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"a run has no option {unknown[0]!r}: there are {', '.join(sorted(RunOptions.__annotations__))}"
        )
    delay, start_after = options.get("delay"), options.get("start_after")
    depends_on, tags = options.get("depends_on") or (), options.get("tags") or ()
    if isinstance(depends_on, (str, Handle)) or isinstance(tags, str):
        raise TypeError("depends_on and tags are lists")
    if delay is not None and start_after is not None:
        raise ValueError("give delay or start_after, not both")
    if delay is not None:
        start_after = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=delay)
    if start_after is not None and start_after.tzinfo is None:
        raise ValueError("start_after needs a time zone")
    if name is not None and idempotency_key is not None:
        raise ValueError("a name can't be chosen beside an idempotency_key: the key names the run")
    if name is None and idempotency_key is None:
        name = f"{task[:40].rstrip('-')}-{secrets.token_hex(5)}"
    body: dict[str, Any] = {
        "name": name,
        "taskRef": {"name": task},
        "payload": dict(payload or {}),
        "priority": options.get("priority"),
        "startAfter": start_after and start_after.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "idempotencyKey": idempotency_key,
        "queue": options.get("queue"),
        "concurrencyKey": options.get("concurrency_key"),
        "dependsOn": [{"name": run if isinstance(run, str) else run.name} for run in depends_on] or None,
        "tags": list(tags) or None,
        "batch": options.get("batch"),
    }
    return {field: value for field, value in body.items() if value is not None}


def state_of(run: RunJson) -> RunState:
    """A run of the API's JSON, whole or in a list."""
    status = run.get("status") or {}
    reference = status.get("resultRef") or run.get("resultRef")
    return RunState(
        name=run["name"],
        uid=run["uid"],
        phase=run.get("phase") or "Pending",
        reason=run.get("reason") or "",
        message=run.get("message") or status.get("message") or "",
        result=status.get("result", run.get("result")),
        result_bytes=None if reference is None else reference["bytes"],
    )
