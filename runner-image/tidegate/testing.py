"""Tasks in tests of your own: in this process, with a run that only remembers.

    outcome = testing.run(resize, {"pictures": ["a.jpg"]}, attempt=2, checkpoint={"done": 1})
    assert outcome.result == {"resized": 1}

The payload is checked and the result made JSON as in a pod; hooks run; what the task raises comes out as it is. One at a time:
a process has one run.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Callable, Iterator, Mapping, Optional

from tidegate.calling import run_hooks
from tidegate.connections import Connection, Stored
from tidegate.current import Run, slot
from tidegate.errors import RunCancelled, RunFailed
from tidegate.results import encode
from tidegate.run_json import Change, Progress, RunBody, RunJson
from tidegate.runner import perform
from tidegate.task import AnyTask

Child = Callable[[Mapping[str, Any]], object]


class FakeRun(Connection):
    """What a run has reported and stored. ``children`` answers for tasks that it starts: by name, a function of the payload."""

    stores = True

    def __init__(self, *, checkpoint: object = None, children: Optional[Mapping[str, Child]] = None) -> None:
        super().__init__()
        self.progress: list[tuple[float, str]] = []
        """Each fraction and message, in order."""
        self.metadata: dict[str, Any] = {}
        """As it is now."""
        self.checkpoints: list[Any] = [] if checkpoint is None else [checkpoint]
        """What it began with, if anything, and each that was set."""
        self.started: list[RunBody] = []
        """Runs that it started, as TaskRun specs."""
        self.cancelled: list[RunBody] = []
        """Those of them whose end it asked for; they have ended all the same."""
        self.result: Any = None
        """What the task returned, as JSON has it."""
        self._children = children or {}
        self._keyed: dict[tuple[str, Optional[str]], RunJson] = {}

    def call(self, task: AnyTask, payload: Optional[Mapping[str, object]] = None) -> Any:
        """Run a task as the runner does; its result, or what it raises."""
        try:
            value = perform(task, json.loads(json.dumps(payload or {})))
            text = encode(value)
        except RunCancelled:
            run_hooks(task.cancel_hooks)
            raise
        except Exception as error:
            run_hooks(task.failure_hooks, error)
            raise
        self.result = json.loads(text) if text else None
        run_hooks(task.success_hooks, value)
        return self.result

    def report(self, state: Progress) -> None:
        self.progress.append((state["progress"], state["message"]))

    def change_metadata(self, change: Change) -> None:
        change = json.loads(json.dumps(change))
        self.metadata.update(change.get("set", {}))
        for key, item in change.get("append", {}).items():
            self.metadata[key] = [*self.metadata.get(key, []), item]
        for key, by in change.get("increment", {}).items():
            self.metadata[key] = self.metadata.get(key, 0) + by

    def save_checkpoint(self, data: bytes, *, seconds: Optional[float]) -> None:
        self.checkpoints.append(json.loads(data))

    def load_checkpoint(self, *, seconds: Optional[float]) -> Optional[bytes]:
        return json.dumps(self.checkpoints[-1]).encode() if self.checkpoints else None

    def store_result(self, data: bytes, *, seconds: Optional[float]) -> Stored:
        raise AssertionError("results of fake runs are stored nowhere")

    def create_child(self, body: RunBody, *, seconds: Optional[float]) -> RunJson:
        body = json.loads(json.dumps(body))
        task, key = body["taskRef"]["name"], body.get("idempotencyKey")
        if (task, key) in self._keyed:
            return self._keyed[task, key]
        self.started.append(body.copy())
        seen = self._end(body, task, number=len(self.started))
        if key is not None:
            self._keyed[task, key] = seen
        return seen

    def _end(self, body: RunBody, task: str, *, number: int) -> RunJson:
        seen: RunJson = {"name": body.get("name", f"{task}-{number}"), "uid": f"child-{number}", "phase": "Succeeded"}
        try:
            result = self._children[task](body["payload"]) if task in self._children else None
        except RunFailed as error:
            return {**seen, "phase": error.phase, "reason": error.reason, "message": error.message}
        return {**seen, "result": result}

    def cancel_child(self, uid: str, *, seconds: Optional[float]) -> None:
        self.cancelled.append(self.started[int(uid.rpartition("-")[2]) - 1])


@contextlib.contextmanager
def fake_run(
    *,
    name: str = "test",
    attempt: int = 1,
    max_attempts: int = 3,
    timeout: Optional[float] = None,
    checkpoint: object = None,
    children: Optional[Mapping[str, Child]] = None,
    web: bool = True,
) -> Iterator[FakeRun]:
    """A run for what is called inside: ``fake.call(task, payload)``, or any code that asks for ``current_run()``.

    ``timeout`` is the attempt's, in seconds from now. With ``web=False`` it is as where no web app is installed.
    """
    fake = FakeRun(checkpoint=checkpoint, children=children)
    run = Run(
        name=name,
        uid="00000000-0000-4000-8000-000000000000",
        project="test",
        task=name,
        queue="default",
        attempt=attempt,
        max_attempts=max_attempts,
        timeout_seconds=timeout,
        connection=fake if web else Connection(),
    )
    before = slot.replace(run)
    try:
        yield fake
    finally:
        slot.replace(before)


def run(task: AnyTask, payload: Optional[Mapping[str, object]] = None, **wishes: Any) -> FakeRun:
    """Run a task in a run of its own, made with what ``fake_run`` takes; what became of it."""
    with fake_run(**wishes) as fake:
        fake.call(task, payload)
    return fake
