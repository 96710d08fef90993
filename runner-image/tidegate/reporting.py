"""Reports to the web app what can wait: progress and changes of metadata. It never slows or breaks a task.

A thread sends at most twice a second. Of progress the newest state counts, so that only that is kept. Changes of metadata are
joined into one request where the result is the same; when too many wait, the oldest is dropped. What was dropped is
counted, and reported at the end.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional, Sequence

from tidegate import streams
from tidegate.errors import ApiError

if TYPE_CHECKING:
    from tidegate.run_json import Progress
    from tidegate.transport import Http

INTERVAL_SECONDS = 0.5
TRY_SECONDS = 5.0
FLUSH_SECONDS = 5.5
"""At the end: time for one request that fails, and for no other after it."""
LEAST_SECONDS = 1.0
"""What must be left of it for another request."""
MOST_WAITING = 1000
"""Changes of metadata that wait at the same time."""
MOST_BYTES = 256 * 1024
"""Of one request's changes."""

Change = dict[str, dict[str, Any]]
"""How, key, value: what the task has said, as JSON has it."""


class Waiting(NamedTuple):
    """A change as it was written down, and how many calls of the task it stands for."""

    written: bytes
    calls: int = 1


class Reporter:
    """Sends the newest progress and all changes of metadata of one run. ``http`` makes the way when it is first needed."""

    def __init__(self, http: Callable[[], Http]) -> None:
        self._http = http
        self._state: Optional[Progress] = None
        self._changes: list[Waiting] = []
        self._state_changed = threading.Condition()
        self._busy = False
        self._on_the_way = 0
        self._closed = self._used = False
        self._until = 0.0
        self._warned: set[str] = set()
        self.dropped = 0
        """Changes of metadata that were not reported."""
        self._thread: Optional[threading.Thread] = None

    def report(self, state: Progress) -> None:
        """Have a state sent, unless a newer one comes first."""
        with self._state_changed:
            self._state = state
            self._wake()

    def change(self, change: Mapping[str, Mapping[str, object]]) -> None:
        """Have a change sent, in its turn. It is written down now: what the task does to its values later doesn't count."""
        written = json.dumps(change, allow_nan=False).encode()
        with self._state_changed:
            if len(self._changes) >= MOST_WAITING:
                self.dropped += self._changes.pop(0).calls
            self._changes.append(Waiting(written))
            self._wake()

    def close(self) -> None:
        """Let what waits go out, within a bound of time; report what could not. What comes later needs another call."""
        with self._state_changed:
            if not self._used:
                return
            self._closed, self._until = True, time.monotonic() + FLUSH_SECONDS - LEAST_SECONDS
            alive = self._wake()
            self._used = False
        if not alive:  # at the end of Python no thread can be started
            until = time.monotonic() + FLUSH_SECONDS
            while self._round(wait=False) and time.monotonic() < until:
                pass
        with self._state_changed:
            self._state_changed.wait_for(self._is_empty, timeout=FLUSH_SECONDS if alive else 0)
            lost = self.dropped + self._on_the_way + sum(change.calls for change in self._changes)
            self.dropped, self._state, self._changes, self._closed = 0, None, [], False
        if lost:
            streams.say(f"{lost} changes of the metadata were not reported")

    def _wake(self) -> bool:
        """Have the thread look, and start it where it isn't there or has ended; whether it lives."""
        self._used = True
        thread = self._thread
        if thread is None or not thread.is_alive():
            thread = threading.Thread(target=self._run, name="tidegate-reporter", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # too many threads, or the end of Python: the next call tries again
                return False
            self._thread = thread
        self._state_changed.notify_all()
        return True

    def _is_empty(self) -> bool:
        return not self._busy and (self._is_late() or (self._state is None and not self._changes))

    def _is_late(self) -> bool:
        """Whether no time is left at the end for another request."""
        return self._closed and time.monotonic() > self._until

    def _run(self) -> None:
        going = True
        while going:
            try:
                going = self._round(wait=True)
            except Exception as error:  # whatever it is, what comes later is sent
                self._warn("/changes", error)
                time.sleep(INTERVAL_SECONDS)

    def _round(self, *, wait: bool) -> bool:
        """Send what is there; False when there is nothing and nothing will come."""
        with self._state_changed:
            if wait:
                self._state_changed.wait_for(lambda: self._state is not None or self._changes or self._closed)
            if self._is_late():
                self._thread = None
                return False
            state, self._state = self._state, None
            taken, change = joined(self._changes)
            calls = sum(one.calls for one in self._changes[:taken])
            del self._changes[:taken]
            if state is None and not calls:
                self._thread = None  # it ends: what comes next starts another
                return False
            self._busy, self._on_the_way = True, calls
        done, written = True, b""
        try:
            if state is not None:
                self._send("/progress", json.dumps(state).encode())
            if calls and self._is_late():
                self._drop(calls)
            elif calls:
                written = json.dumps(change).encode()
                done = self._send("/metadata", written, calls=calls)
        finally:
            with self._state_changed:
                if not done:
                    self._changes.insert(0, Waiting(written, calls))
                self._busy, self._on_the_way = False, 0
                self._state_changed.notify_all()
        if not done:
            time.sleep(INTERVAL_SECONDS)
        elif wait:
            with self._state_changed:
                self._state_changed.wait_for(lambda: self._closed, timeout=INTERVAL_SECONDS)
        return True

    def _send(self, path: str, body: bytes, *, calls: int = 0) -> bool:
        """False when it should be sent again."""
        try:
            # A change that was made twice would count twice.
            self._http().call("POST", path, body, seconds=TRY_SECONDS, repeatable=not calls)
        except ApiError as error:
            self._warn(path, error)
            if calls and not error.lost and error.status in (None, 429, 502, 503, 504):
                return False
            self._drop(calls)
        except Exception as error:  # whatever it is, it must not end the thread
            self._warn(path, error)
            self._drop(calls)
        return True

    def _drop(self, calls: int) -> None:
        with self._state_changed:
            self.dropped += calls
            self._on_the_way = 0

    def _warn(self, path: str, error: Exception) -> None:
        if path not in self._warned:
            self._warned.add(path)
            streams.say(f"{path[1:]} can't be reported: {error}")


def joined(changes: Sequence[Waiting]) -> tuple[int, Change]:
    """How many of the first changes can be one request, and that request.

    In one request all keys are set, then appended to once each, then incremented: what asks for another order has to wait.
    """
    whole: Change = {}
    size = 0
    for count, waiting in enumerate(changes):
        size += len(waiting.written)
        change = json.loads(waiting.written)
        if count and (size > MOST_BYTES or not _joins(whole, change)):
            return count, whole
        for word in ("set", "append"):
            if word in change:
                whole.setdefault(word, {}).update(change[word])
        for key, amount in change.get("increment", {}).items():
            sums = whole.setdefault("increment", {})
            sums[key] = sums.get(key, 0) + amount
    return len(changes), whole


def _joins(whole: Change, change: Change) -> bool:
    appended, incremented = whole.get("append", {}), whole.get("increment", {})
    return not any(key in appended or key in incremented for word in ("set", "append") for key in change.get(word, {}))
