"""Dirty keys and a timer heap: when to decide, and how many at once.

A key is never in two workers; what happens to it meanwhile makes it dirty again. Bursts of events about one run become one
decision. No key is taken before everything has been listed once.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable

import aiohttp
import structlog

from tidegate_operator.actions import Actor
from tidegate_operator.cache import Cache
from tidegate_operator.kube import KubeError, NotLeadingError
from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.decide import Decision, World, decide
from tidegate_operator.records import RunRecord
from tidegate_operator.settings import OperatorSettings

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
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._timers: list[tuple[float, str]] = []
        self._wake_at: dict[str, float] = {}
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

    def is_busy(self, uid: str) -> bool:
        """Whether a decision on the run is being carried out."""
        return uid in self._busy

    async def run(self) -> None:
        """Work until cancelled or stopped."""
        while not self._stopping:
            self._fire_timers()
            if self._cache.complete:
                await self._drain()
            self._metrics.dirty.set(len(self._dirty))
            pause = max(0.0, self._timers[0][0] - self._clock()) if self._timers else None
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def stop(self) -> None:
        """Start nothing more and let what is in flight end."""
        self._stopping = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def _fire_timers(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            at, uid = heapq.heappop(self._timers)
            if self._wake_at.get(uid) == at:  # else it was set anew
                del self._wake_at[uid]
                self.mark((uid,))

    def _set_timer(self, uid: str, at: float | None) -> None:
        if at is None:
            self._wake_at.pop(uid, None)
        elif self._wake_at.get(uid) != at:
            self._wake_at[uid] = at
            heapq.heappush(self._timers, (at, uid))

    async def _drain(self) -> None:
        done = 0
        while self._dirty and len(self._busy) < self._settings.concurrent_actions and not self._stopping:
            uid = next(iter(self._dirty))
            del self._dirty[uid]
            run = self._cache.runs.get(uid)
            if run is None:
                self._forget(uid)
                continue
            decision = self._decide(run)
            self._set_timer(uid, decision.wake_at)
            if decision.actions:
                self._busy.add(uid)
                task = asyncio.create_task(self._perform(run, decision), name=f"run {run.namespace}/{run.name}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                run.body = None  # it waits: what it holds can be read again
            done += 1
            if done % BURST == 0:
                await asyncio.sleep(0)

    def _decide(self, run: RunRecord) -> Decision:
        begin = time.perf_counter()
        settings = self._settings
        world = World(
            attempt=self._cache.latest_attempt(run.uid),
            task=self._cache.task_of(run),
            queue=self._cache.queue_of(run),
            stray=self._cache.has_stray(run.uid),
            max_disruptions=settings.max_disruptions,
            default_ttl=settings.ttl_seconds_after_finished,
            look_seconds=settings.look_seconds,
            deletes_finished=not settings.api_url,
        )
        decision = decide(run, world, self._clock())
        self._metrics.decide_seconds.observe(time.perf_counter() - begin)
        return decision

    async def _perform(self, run: RunRecord, decision: Decision) -> None:
        uid, retry_at = run.uid, None
        try:
            for action in decision.actions:
                await self._actor.perform(run, action)
            self._failures.pop(uid, None)
        except NotLeadingError:
            retry_at = self._clock() + 1.0
        except (KubeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            retry_at = self._back_off(uid)
            self._metrics.errors.inc()
            self._log.warning(
                "reconcile failed", run=run.name, namespace=run.namespace, error=str(error) or repr(error)
            )
        except Exception:
            # A fault of ours with one run must not end the supervision of all others.
            retry_at = self._clock() + LONGEST_PAUSE
            self._metrics.errors.inc()
            self._log.exception("reconcile broke", run=run.name, namespace=run.namespace)
        finally:
            self._busy.discard(uid)
            again = uid in self._again
            self._again.discard(uid)
            if retry_at is not None:
                self._set_timer(uid, retry_at)
            if retry_at is None or again:
                self.mark((uid,))
            self._changed.set()

    def _back_off(self, uid: str) -> float:
        failed = self._failures[uid] = self._failures.get(uid, 0) + 1
        return self._clock() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failed - 1))

    def _forget(self, uid: str) -> None:
        self._wake_at.pop(uid, None)
        self._failures.pop(uid, None)
