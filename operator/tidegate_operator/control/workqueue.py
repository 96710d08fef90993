"""When which object is looked at: dirty keys, one worker a key, timers, back-off. Runs, schedules and queues share it.

A key is never in two workers; what happens to it meanwhile makes it dirty again. Bursts of events about one object become
one decision. Nothing is taken before everything has been listed once.

An exception of one key stays with that key (`quarantine.py`). Errors of the surroundings are tried again for as long as they
last, less and less often. Any other exception is tried again FAULTS_TRIED times; then the object is set aside: its handler
ends or marks it, and it is tried again when it changes and every five minutes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import structlog
from prometheus_client import Histogram

from tidegate_operator.control.deferred import DeferredQueue
from tidegate_operator.control.timers import Timers
from tidegate_operator.kube.errors import NotLeadingError, is_transient
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.faults import Fault, FaultError, Ref
from tidegate_operator.state.keys import Key
from tidegate_operator.state.quarantine import RETRY_SECONDS, Quarantine

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
FAULTS_TRIED: Final = 3
NOT_LEADING_PAUSE: Final = 1.0
BURST: Final = 100
"""Decisions in a row before other tasks of the loop get their turn."""

STEPS_IN_A_ROW: Final = 20
"""Times that acting on a key may call for acting on it again before that is taken for a circle and slowed down."""

SHORTEST_SLEEP: Final = 0.001
LONGEST_SLEEP: Final = 30.0
"""A wall clock that is set forward wakes no timer: so long may a key be late for it."""


@dataclass(slots=True, frozen=True)
class Work:
    """What has to be done for a key, and when to ask again if nothing happens before."""

    run: Callable[[], Awaitable[None]] | None = None
    wake_at: float | None = None
    deferrable: bool = False
    """It may wait while the apiserver is busy."""


NOTHING: Final = Work()


class Handler(Protocol):
    """What is known of one kind of keys."""

    def decide(self, ident: str) -> Work:
        """What to do for the object now. Doesn't block."""

    def ref(self, ident: str) -> Ref:
        """The object's names, for logs and the quarantine."""

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        """Mark or end an object that can't be worked with. Answers with when to do so again at the latest."""

    async def recovered(self, ident: str) -> None:
        """The object could be worked with again: take the mark away."""

    def drained(self) -> None:
        """All dirty keys of the kind have been decided on, or a burst of them."""


@dataclass(slots=True)
class _Lane:
    """The keys of one kind."""

    handler: Handler
    places: int
    lag: Histogram
    dirty: dict[str, float] = field(default_factory=dict)
    """Each with the time since when it is, by the monotonic clock."""
    busy: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Failures:
    """Failures in a row of one key."""

    transient: int = 0
    faults: int = 0


class Workqueue:
    """Dirty keys by kind, and who works on them."""

    def __init__(
        self,
        *,
        is_ready: Callable[[], bool],
        quarantine: Quarantine,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_ready, self._quarantine, self._metrics = is_ready, quarantine, metrics
        self._clock, self._monotonic = clock, monotonic
        self._lanes: dict[str, _Lane] = {}
        self._again: set[Key] = set()
        self._timers: Timers[Key] = Timers()
        self._failures: dict[Key, _Failures] = {}
        self._steps: dict[Key, int] = {}
        self._deferred: DeferredQueue[Key] = DeferredQueue(monotonic=monotonic)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._alarms: list[Callable[[], float | None]] = []
        self._log = structlog.get_logger(__name__)
        metrics.dirty.set_function(lambda: sum(len(lane.dirty) for lane in self._lanes.values()))

    def serve(self, kind: str, handler: Handler, *, places: int) -> None:
        """Have a handler look at the keys of a kind, at most `places` at once."""
        self._lanes[kind] = _Lane(handler, places, self._metrics.reconcile_lag_seconds.labels(kind))

    def also_wake(self, alarm: Callable[[], float | None]) -> None:
        """Call `drained` of the handlers also at the moment that `alarm` gives."""
        self._alarms.append(alarm)

    def add(self, key: Key) -> None:
        """Something has changed about an object."""
        kind, ident = key
        if (lane := self._lanes.get(kind)) is None:
            return
        if ident in lane.busy:
            self._again.add(key)
        else:
            lane.dirty.setdefault(ident, self._monotonic())
            self._changed.set()

    def wake(self) -> None:
        """Something has changed that isn't a key's own."""
        self._changed.set()

    def is_busy(self, key: Key) -> bool:
        """Whether the object is being acted on."""
        return key[1] in self._lanes[key[0]].busy

    def has_room(self, kind: str) -> bool:
        """Whether one more object of the kind can be acted on."""
        lane = self._lanes[kind]
        return len(lane.busy) < lane.places and not self._stopping

    def start(self, key: Key, work: Work) -> None:
        """Act on an object now, whether it is dirty or not. It must not be busy."""
        kind, ident = key
        self._lanes[kind].dirty.pop(ident, None)
        self._deferred.drop(key)
        self._timers.set(key, work.wake_at)
        if work.run is not None:
            self._spawn(key, work.run)

    async def run(self) -> None:
        """Work until cancelled or stopped."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            for key in self._timers.due(self._clock()):
                self.add(key)
            if self._is_ready():
                await self._drain()
            pause = self._pause()
            alarm = loop.call_later(pause, self._changed.set) if pause is not None else None
            await self._changed.wait()
            if alarm is not None:
                alarm.cancel()
            self._changed.clear()

    async def stop(self) -> None:
        """Start nothing more and let what is in flight end."""
        self._stopping = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def _pause(self) -> float | None:
        """Seconds until something is due by itself."""
        now = self._clock()
        due = [at - now for at in (self._timers.next_at, *(alarm() for alarm in self._alarms)) if at is not None]
        key, pause = self._deferred.first, self._deferred.pause
        if key is not None and pause is not None and self.has_room(key[0]):
            due.append(pause)
        if not due:
            return None
        soonest = min(due)
        # While the cluster's clock is put right it may run slower than the loop's.
        return min(LONGEST_SLEEP, max(SHORTEST_SLEEP, soonest)) if soonest > 0 else 0.0

    async def _drain(self) -> None:
        done = 0
        for kind, lane in self._lanes.items():
            if lane.dirty and self.has_room(kind):
                lane.lag.observe(self._monotonic() - next(iter(lane.dirty.values())))
            while lane.dirty and self.has_room(kind):
                ident = next(iter(lane.dirty))
                del lane.dirty[ident]
                self._look_at((kind, ident))
                done += 1
                if done % BURST == 0:
                    self._settle(kind, lane)
                    await asyncio.sleep(0)
                    if lane.dirty:
                        lane.lag.observe(self._monotonic() - next(iter(lane.dirty.values())))
            self._settle(kind, lane)
        if (key := self._deferred.first) is not None and self.has_room(key[0]):
            self._take_deferred()

    def _settle(self, kind: str, lane: _Lane) -> None:
        try:
            lane.handler.drained()
        except Exception:
            # Not the fault of one key that is known: those of the next round get their turn all the same.
            self._metrics.errors.inc()
            self._log.exception("what follows from decisions broke", kind=kind)

    def _look_at(self, key: Key) -> None:
        work = self._decide(key)
        if work is None:
            return
        if work.run is not None and work.deferrable:
            self._deferred.put(key)
            return
        self._deferred.drop(key)
        if work.run is not None:
            self._spawn(key, work.run)
            return
        self._steps.pop(key, None)
        if self._is_set_aside(key):
            self._spawn(key, partial(self._recover, key), once=True)
        else:
            self._failures.pop(key, None)

    def _take_deferred(self) -> None:
        key = self._deferred.take()
        if key is None:
            return
        # Decided again: it may have become something that doesn't wait, or nothing at all.
        work = self._decide(key) if not self.is_busy(key) else None
        if work is not None and work.run is not None:
            self._spawn(key, work.run, deferred=True)
        else:
            self._deferred.done(seconds=0.0)
            self._changed.set()

    def _decide(self, key: Key) -> Work | None:
        """What to do; None where deciding broke, which is seen to."""
        try:
            work = self._lanes[key[0]].handler.decide(key[1])
        except Exception as error:
            self._deferred.drop(key)
            fault = self._failed(key, error, doing="deciding on it")
            if fault is not None:
                self._spawn(key, partial(self._set_aside, key, fault), once=True)
            return None
        self._timers.set(key, work.wake_at)
        return work

    def _spawn(
        self, key: Key, act: Callable[[], Awaitable[None]], *, deferred: bool = False, once: bool = False
    ) -> None:
        """`once`: it isn't decided on again afterwards, unless something has changed."""
        self._lanes[key[0]].busy.add(key[1])
        task = asyncio.create_task(self._act(key, act, deferred=deferred, once=once), name=f"{key[0]} {key[1]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, key: Key, act: Callable[[], Awaitable[None]], *, deferred: bool, once: bool) -> None:
        """One worker of one key."""
        begin = self._monotonic()
        failed = once
        try:
            await act()
        except Exception as error:
            failed = True
            fault = self._failed(key, error, doing="acting on it")
            if fault is not None:
                await self._set_aside(key, fault)
        finally:
            if deferred:
                self._deferred.done(seconds=self._monotonic() - begin)
            self._lanes[key[0]].busy.discard(key[1])
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif not failed:
                self._look_again(key)
            self._changed.set()

    def _look_again(self, key: Key) -> None:
        """Decide on what was acted on. What goes round in a circle is slowed down."""
        self._failures.pop(key, None)
        steps = self._steps[key] = self._steps.get(key, 0) + 1
        if steps <= STEPS_IN_A_ROW:
            self.add(key)
        else:
            self._timers.set(key, self._clock() + _back_off(steps - STEPS_IN_A_ROW))

    # What breaks

    def _failed(self, key: Key, error: Exception, *, doing: str) -> Fault | None:
        """Back off; or the fault for which the object has to be set aside."""
        kind, ident = key
        if isinstance(error, NotLeadingError):
            self._timers.set(key, self._clock() + NOT_LEADING_PAUSE)
            return None
        ref = self._lanes[kind].handler.ref(ident)
        names = {"kind": kind, "namespace": ref.namespace, "name": ref.name}
        self._metrics.errors.inc()
        failures = self._failures.setdefault(key, _Failures())
        if is_transient(error):
            failures.transient += 1
            self._log.warning("reconcile failed", error=str(error) or repr(error), **names)
            self._timers.set(key, self._clock() + _back_off(failures.transient))
            return None
        fault = error.fault if isinstance(error, FaultError) else Fault.of(doing, error)
        failures.faults += 1
        known = isinstance(error, FaultError) or self._is_set_aside(key)
        if failures.faults <= FAULTS_TRIED and not known:
            self._log.warning("reconcile broke, and is tried again", error=fault.message, **names)
            self._timers.set(key, self._clock() + _back_off(failures.faults))
            return None
        self._quarantine.put(ref, fault, error)
        return fault

    async def _set_aside(self, key: Key, fault: Fault) -> None:
        """Have the object marked or ended; it is looked at again when it changes, and at a time."""
        again = self._clock() + RETRY_SECONDS
        try:
            sooner = await self._lanes[key[0]].handler.set_aside(key[1], fault)
            again = again if sooner is None else min(again, sooner)
        except NotLeadingError:
            again = self._clock() + NOT_LEADING_PAUSE
        except Exception as error:
            self._log.warning(
                "an object that is set aside can't be marked", key=key[1], error=str(error) or repr(error)
            )
            if is_transient(error):
                again = self._clock() + LONGEST_PAUSE
        self._timers.set(key, again)

    async def _recover(self, key: Key) -> None:
        handler = self._lanes[key[0]].handler
        self._failures.pop(key, None)
        self._quarantine.release(key[0], handler.ref(key[1]).uid)
        try:
            await handler.recovered(key[1])
        except Exception as error:
            self._log.warning("the mark of an object can't be taken away", key=key[1], error=str(error) or repr(error))

    def _is_set_aside(self, key: Key) -> bool:
        if self._quarantine.is_empty:
            return False
        return self._quarantine.find(key[0], self._lanes[key[0]].handler.ref(key[1]).uid) is not None


def _back_off(failures: int) -> float:
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
