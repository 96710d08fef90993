"""Dirty keys and a timer heap: when to decide, and how many at once.

A key is never in two workers; what happens to it meanwhile makes it dirty again. Bursts of events about one run become one
decision. No key is taken before everything has been listed once. Whoever waits only for a queue is let in when all that
is known has been decided on, so that no slot is given away on half a picture.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial

import aiohttp
import structlog

from tidegate_operator.actions import Actor
from tidegate_operator.cache import Cache
from tidegate_operator.kube import KubeError, NotLeadingError
from tidegate_operator.metrics import Metrics
from tidegate_operator.pacing import Leisure
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import Decision, StartAttempt, World
from tidegate_operator.policies.lingering import linger
from tidegate_operator.records import RunRecord
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.timers import Timers

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
BURST = 100
"""Decisions in a row before other tasks of the loop get their turn."""


class Reconciler:
    """Decides on runs and has the decisions carried out."""

    def __init__(
        self,
        cache: Cache,
        actor: Actor,
        *,
        settings: OperatorSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._actor, self._settings, self._metrics, self._clock = cache, actor, settings, metrics, clock
        self._dirty: dict[str, None] = {}
        metrics.dirty.set_function(lambda: len(self._dirty))
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._leisure = Leisure()
        self._timers: Timers[str] = Timers()
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log = structlog.get_logger(__name__)

    def mark(self, uids: Iterable[str]) -> None:
        """These runs have to be decided on."""
        for uid in uids:
            if uid in self._busy:
                self._again.add(uid)
            else:
                self._dirty[uid] = None
                self._changed.set()

    def wake(self) -> None:
        """Something has changed that may let a waiting run in."""
        self._changed.set()

    def is_busy(self, uid: str) -> bool:
        """Whether a decision on the run is being carried out."""
        return uid in self._busy

    async def run(self) -> None:
        """Work until cancelled or stopped."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self.mark(tuple(self._timers.due(self._clock())))
            if self._cache.complete:
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
        due = [at - now] if (at := self._timers.next_at) is not None else []
        if (refill := self._cache.admission.wake_at) is not None:
            due.append(refill - now)
        if self._has_room and (pause := self._leisure.pause) is not None:
            due.append(pause)
        return max(0.0, min(due)) if due else None

    @property
    def _has_room(self) -> bool:
        return len(self._busy) < self._settings.concurrent_actions and not self._stopping

    async def _drain(self) -> None:
        done = 0
        asked: list[RunRecord] = []
        while self._dirty and self._has_room:
            uid = next(iter(self._dirty))
            del self._dirty[uid]
            decision = self._decide(uid)
            if decision.lazy:
                self._leisure.put(uid)
            else:
                self._leisure.drop(uid)
                if decision.actions:
                    self._spawn(uid, decision)
                elif (run := self._cache.runs.get(uid)) is not None:
                    asked.append(run)
            done += 1
            if done % BURST == 0:
                self._admit()
                await asyncio.sleep(0)
        self._admit()
        for run in asked:
            if not run.starting:
                run.body = None  # it waits: what it holds can be read again
        if self._has_room and (lazy := self._leisure.take()) is not None:
            self._take_leisurely(lazy)

    def _take_leisurely(self, uid: str) -> None:
        # Decided anew: it may have become something that doesn't wait, or nothing at all.
        decision = self._decide(uid) if uid not in self._busy else Decision()
        if decision.actions:
            self._spawn(uid, decision, leisurely=True)
        else:
            self._leisure.done(seconds=0.0)
            self._changed.set()

    def _admit(self) -> None:
        """Let in whose turn has come."""
        for ticket in self._cache.admission.admit(self._clock()):
            run = self._cache.runs[ticket.uid]
            run.starting, run.posted_at = ticket.number, 0.0
            self._leisure.drop(run.uid)
            if run.uid in self._busy or not self._has_room:
                self.mark((run.uid,))
            else:
                self._dirty.pop(run.uid, None)
                self._timers.set(run.uid, None)
                self._spawn(run.uid, Decision([StartAttempt(ticket.number)]))

    def _decide(self, uid: str) -> Decision:
        begin = time.perf_counter()
        now = self._clock()
        run = self._cache.runs.get(uid)
        decision = decide(run, self.world(run, now), now) if run is not None else Decision()
        if run is None or run.status.phase.terminal:
            linger(self._cache.attempts.of(uid), decision, now)
        admission = self._cache.admission
        if run is None or decision.ticket is None:
            admission.withdraw(uid)
        elif admission.ask(decision.ticket):
            run.held_since = now
        if run is not None and decision.ticket is not None and decision.ticket.first:
            run.queued_at = decision.ticket.queued_at
        self._timers.set(uid, decision.wake_at)
        if run is None and not decision.actions and decision.wake_at is None:
            self._failures.pop(uid, None)
        self._metrics.decide_seconds.observe(time.perf_counter() - begin)
        return decision

    def world(self, run: RunRecord, now: float) -> World:
        """What a decision on the run may look at."""
        cache, settings = self._cache, self._settings
        return World(
            attempt=cache.attempts.latest(run.uid),
            stray=bool(run.posted_at) and cache.attempts.has_stray(run.uid),
            first_job=cache.first_job(run) if run.plan is not None and run.plan.deadline is not None else None,
            task=cache.task_of(run),
            find=partial(cache.find_run, run.namespace),
            has_dependents=cache.has_dependents(run),
            line=cache.admission.why(run.uid, now),
            max_disruptions=settings.max_disruptions,
            default_ttl=settings.ttl_seconds_after_finished,
            look_seconds=settings.look_seconds,
            deletes_due_by=settings.deletes_due_by(run.namespace, cache.projects),
            held=cache.schedules.holds(run),
        )

    def _spawn(self, uid: str, decision: Decision, *, leisurely: bool = False) -> None:
        self._busy.add(uid)
        task = asyncio.create_task(self._perform(uid, decision, leisurely=leisurely), name=f"run {uid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, uid: str, decision: Decision, *, leisurely: bool) -> None:
        run, retry_at = self._cache.runs.get(uid), None
        begin = time.monotonic()
        names = {"run": run.name, "namespace": run.namespace} if run is not None else {"uid": uid}
        try:
            for action in decision.actions:
                await self._actor.perform(run, action)
            self._failures.pop(uid, None)
        except NotLeadingError:
            retry_at = self._clock() + 1.0
        except (KubeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            retry_at = self._back_off(uid)
            self._metrics.errors.inc()
            self._log.warning("reconcile failed", error=str(error) or repr(error), **names)
        except Exception:
            # A fault of ours with one run must not end the supervision of all others.
            retry_at = self._clock() + LONGEST_PAUSE
            self._metrics.errors.inc()
            self._log.exception("reconcile broke", **names)
        finally:
            if leisurely:
                self._leisure.done(seconds=time.monotonic() - begin)
            self._busy.discard(uid)
            again = uid in self._again
            self._again.discard(uid)
            if retry_at is not None:
                self._timers.set(uid, retry_at)
            if retry_at is None or again:
                self.mark((uid,))
            self.mark(self._actor.take_touched())
            self._changed.set()

    def _back_off(self, uid: str) -> float:
        failed = self._failures[uid] = self._failures.get(uid, 0) + 1
        return self._clock() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failed - 1))
