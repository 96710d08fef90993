"""What workers report, taken into the cache: who is there, what each holds, and how what it held has ended."""

import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from tidegate_api.names import Reason

from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.dispatch.identity import Identity
from tidegate_operator.dispatch.protocol import (
    Draining,
    Ended,
    Held,
    Hello,
    Message,
    Ready,
    Refused,
    RunNames,
    Started,
)
from tidegate_operator.executors.pool import PoolExecutor
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.pool import Handover
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.run import Cause, Plan, PoolKey
from tidegate_operator.state.cache import Cache


class WorkerReports:
    """The listener of the dispatch port."""

    def __init__(
        self,
        cache: Cache,
        executor: PoolExecutor,
        *,
        metrics: Metrics,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`wake` has those let in whose turn has come."""
        self._cache, self._executor, self._metrics, self._wake, self._clock = cache, executor, metrics, wake, clock
        self._offers: dict[str, tuple[PoolKey, int]] = {}
        """By worker, the pool and the slots that it has for it, once it has said what it holds."""
        self._namespaces: dict[str, str] = {}
        """By worker. It can hold no run of another."""
        self._log = structlog.get_logger(__name__)
        cache.pools.on_worker = self.seen

    def joined(self, connection: Connection, identity: Identity, hello: Hello) -> None:
        """A worker is there. It is given nothing before it has said what it holds."""
        pool = identity.pool
        self._log.info("worker connected", pod=identity.pod.name, pool=pool[1] if pool else None, slots=hello.slots)
        self._namespaces[connection.pod_uid] = identity.pod.namespace
        if pool is not None and not hello.draining:
            self._offers[connection.pod_uid] = (pool, min(hello.slots, self._cache.pools.slots_of(pool)))

    def left(self, connection: Connection) -> None:
        """Its connection is gone. What it holds goes on there."""
        self._offers.pop(connection.pod_uid, None)
        self._namespaces.pop(connection.pod_uid, None)
        self._cache.admission.pools.left(connection.pod_uid)
        self._cache.handovers.worker_left(connection.pod_uid, now=self._clock())

    def heard(self, connection: Connection, message: Message) -> None:
        """It said something."""
        match message:
            case Held(handover=ident, run=run):
                connection.held.add(ident)
                self._holds(connection, ident, run)
            case Started(handover=ident, age=age):
                self._started(ident, age)
            case Ended(handover=ident, run=run, end=end):
                connection.held.add(ident)
                self._ended(connection, ident, run, end)
            case Refused(handover=ident, message=said):
                connection.held.discard(ident)
                if (attempt := self._attempt(connection, ident)) is not None:
                    lost = Cause(Reason.NOT_STARTED, f"its worker refused it: {said}")
                    self._end(attempt, ProcessEnd(at=0.0, lost=lost))
            case Ready():
                self._ready(connection)
            case Draining():
                self._offers.pop(connection.pod_uid, None)
                self._cache.admission.pools.left(connection.pod_uid)

    def seen(self, pod_uid: str) -> None:
        """A worker pod was seen, or is gone: what was given to a container that is over has ended with it."""
        pod = self._cache.pools.workers.get(pod_uid)
        if pod is None or pod.deleting or pod.terminal:
            self._offers.pop(pod_uid, None)
            self._cache.admission.pools.left(pod_uid)
        for attempt in self._cache.handovers.at_worker(pod_uid):
            self._executor.look(attempt)

    def _holds(self, connection: Connection, ident: str, run: RunNames) -> None:
        """It holds a hand-over: one of a run that is gone has its slots until it has ended, and is stopped."""
        if self._attempt(connection, ident) is not None:
            return
        given = Handover(
            ident=ident,
            pool=self._offers.get(connection.pod_uid, (("", ""), 0))[0][1],
            pod_uid=connection.pod_uid,
            pod_name="",
            node=None,
        )
        known = self._cache.runs.get(run.uid)
        elsewhere = run.namespace != self._namespaces.get(connection.pod_uid)
        if elsewhere or (known is not None and not known.status.phase.terminal):
            # The run's status doesn't name it (any more), or it is none of its pool: it is stopped, and its end is of no account.
            connection.send("stop", handover=ident, why="Deleted")
            return
        attempt = self._cache.handovers.put(
            given,
            run_uid=run.uid,
            namespace=run.namespace,
            number=run.attempt,
            plan=Plan(queue=run.queue or Plan().queue, pool=given.pool),
            key=run.key,
            started=self._clock(),
            now=self._clock(),
        )
        self._cache.settle(run.uid)
        self._executor.look(attempt)

    def _ready(self, connection: Connection) -> None:
        connection.ready = True
        for attempt in self._cache.handovers.at_worker(connection.pod_uid):
            self._executor.look(attempt)
            self._executor.renew_token(attempt)  # the one that it has may be from long ago
        offer = self._offers.get(connection.pod_uid)
        if offer is not None:
            pool, slots = offer
            self._cache.admission.pools.connected(connection.pod_uid, pool, slots=slots, accepting=True)
            self._wake()

    def _started(self, ident: str, age: float) -> None:
        attempt = self._cache.handovers.find(ident)
        if attempt is None:
            return
        at = max(attempt.created, self._clock() - age)
        self._metrics.handover_seconds.observe(at - attempt.created)
        self._cache.handovers.started(attempt, at=at)

    def _ended(self, connection: Connection, ident: str, run: RunNames, end: ProcessEnd) -> None:
        attempt = self._attempt(connection, ident)
        if attempt is not None:
            # Before its slot is free: the worker takes no more runs than it can keep outcomes of.
            self._cache.admission.pools.keeps(connection.pod_uid, ident)
            self._end(attempt, end)
            if attempt.run_uid in self._cache.runs and not self._is_recorded(attempt):
                return  # forgotten once its end is written
        self._executor.forget(connection.pod_uid, ident)

    def _is_recorded(self, attempt: AttemptRecord) -> bool:
        run = self._cache.runs.get(attempt.run_uid)
        return run is None or run.status.phase.terminal or run.status.ended(attempt.number)

    def _end(self, attempt: AttemptRecord, end: ProcessEnd) -> None:
        now = self._clock()
        at = max(attempt.created, now - end.at)
        stop = None
        if end.stopped == Reason.TIMEOUT:
            stop = Cause(Reason.TIMEOUT, f"timed out after {attempt.plan.timeout} s")
        elif end.stopped == Reason.START_TIMEOUT:
            stop = Cause(Reason.START_TIMEOUT, f"its function was not called within {attempt.plan.start_timeout} s")
        elif end.stopped == Reason.DEADLINE_EXCEEDED:
            message = f"not done within {attempt.plan.deadline} s of its first attempt"
            stop = Cause(Reason.DEADLINE_EXCEEDED, message)
        self._cache.handovers.ended(attempt, replace(end, at=at, stop=stop), now=now)

    def _attempt(self, connection: Connection, ident: str) -> AttemptRecord | None:
        """The attempt of a hand-over, if it is this worker's."""
        attempt = self._cache.handovers.find(ident)
        if attempt is None or attempt.handover is None or attempt.handover.pod_uid != connection.pod_uid:
            return None
        return attempt
