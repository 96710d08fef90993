"""An attempt as a process in a warm worker.

The intent is written before it is carried out: the run's status names worker and hand-over, and only then sent to the worker. So
the cluster knows what runs where, and no promise depends on a clock: any leader goes on from the status and from what workers say
that they hold. An attempt that its worker doesn't hold was never started, since a worker drops what it hasn't read when its
connection ends.

While the intent is being written the worker gets the process ready: ``prepare``, and then ``commit``, or ``abort`` where the write
fails. What is prepared runs nothing of the task, and goes with its connection like anything that wasn't read.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from tidegate_api.bodies import TaskRunBody, TaskRunStatusBody, TaskSpecBody
from tidegate_api.names import DEFAULT_QUEUE, POOL_RESULT_MAX_BYTES, Phase, Reason
from tidegate_api.objects import KubeObject
from tidegate_api.spec_hash import spec_hash

from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.executors import StartRefusedError
from tidegate_operator.kube.client import METADATA, KubeClient
from tidegate_operator.kube.errors import KubeError, NotLeadingError
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.kube.paths import own_path
from tidegate_operator.manifests.job import TooDeepError, encode_spec
from tidegate_operator.policies.outcome import is_over
from tidegate_operator.policies.status import build_status, handover_entry, with_attempt
from tidegate_operator.policies.worker_pods import ended_by
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.lenient import bounded_or
from tidegate_operator.records.pool import Handover, WorkerPodRecord
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.run import Cause, RunRecord
from tidegate_operator.state.cache import Cache

NOT_STARTED: Final = Cause(Reason.NOT_STARTED, "its worker never had it")
GRACE_SECONDS: Final = 30
RENEW_SECONDS: Final = 3600.0
"""So often tokens are renewed that have no timeout to outlive: they are good for a day."""


class Workers(Protocol):
    """The connections of workers."""

    def find(self, pod_uid: str) -> Connection | None:
        """The connection of a worker that has said what it holds."""

    def connected(self, pod_uid: str) -> Connection | None:
        """The connection of a worker, also of one that is still saying what it holds."""


class Tokens(Protocol):
    """Tokens with which a run calls the web app."""

    def issue(self, run: RunRecord, handover: Handover, *, number: int, seconds: float | None) -> str | None:
        """A token for one hand-over; None where there is no web app."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A hand-over that is written, or may be, and was not sent."""

    ident: str
    message: dict[str, object]
    prepared_by: Connection | None
    """Where the worker has got it ready."""


class PoolExecutor:
    """Starts, stops and observes attempts in pools."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        *,
        workers: Workers,
        tokens: Tokens,
        own_writes: OwnWrites,
        guard: Callable[[], None],
        clock: Callable[[], float] = time.time,
        random: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._client, self._cache, self._workers, self._tokens = client, cache, workers, tokens
        self._own_writes, self._guard, self._clock, self._random = own_writes, guard, clock, random
        self._unsent: dict[str, Unsent] = {}
        """By run. No other process sends it."""
        self._log = structlog.get_logger(__name__)

    async def start(self, run: RunRecord, body: TaskRunBody, resolved: TaskSpecBody, *, number: int) -> None:
        """Write the intent, then hand the attempt over. Raises StartRefusedError where the worker is gone meanwhile."""
        worker = run.tracked.worker
        pod = self._cache.pools.workers.get(worker[1]) if worker is not None else None
        connection = self._workers.find(worker[1]) if worker is not None else None
        if worker is None or pod is None or connection is None or connection.is_clogged:
            raise _again(f"a worker of pool {resolved.get('pool')} went while the run was being started")
        now, version = self._clock(), run.version
        try:
            encode_spec(resolved)
        except TooDeepError as error:
            raise StartRefusedError(Cause(Reason.INVALID_TASK, str(error)), final=True) from error
        handover = Handover(
            ident=f"{connection.instance}-{self._random(8)}",
            pool=worker[0][1],
            pod_uid=pod.uid,
            pod_name=pod.name,
            node=pod.node,
        )
        entry = handover_entry(handover, number=number, spec_hash=spec_hash(resolved), at=now)
        status = build_status(
            run,
            phase=Phase.RUNNING,
            attempts=with_attempt(run.status.attempts, entry),
            started=now,
            queue=resolved.get("queue") or DEFAULT_QUEUE,
            now=now,
        )
        message = self._message(run, body, resolved, handover, number=number, now=now)
        self._drop_unsent(run.uid)
        prepares = connection.prepares and connection.send("prepare", **message)
        self._unsent[run.uid] = Unsent(handover.ident, message, connection if prepares else None)
        await self._write(run, status, resolved, version=version, handover=handover)
        attempt = self._cache.handovers.find(handover.ident)
        if attempt is None:  # the run is gone, and with it the intent
            self._give_up(run.uid)
            return
        self._send(attempt, handover)

    async def _write(
        self, run: RunRecord, status: TaskRunStatusBody, resolved: TaskSpecBody, *, version: int, handover: Handover
    ) -> None:
        kept = run.status.has_resolved_task
        whole: TaskRunStatusBody = {**status, "resolvedTask": resolved}
        path = own_path("taskruns", run.namespace, run.name)
        try:
            made = await self._client.write_status(
                path,
                status if kept else whole,
                version=version,
                resource="taskruns",
                accept=METADATA,
                keep="resolvedTask" if kept else None,
            )
        except KubeError as error:
            if error.code not in (404, 409):
                self._give_up(run.uid)
                raise
            await self.find(run, number=0)
            if self._cache.handovers.find(handover.ident) is not None:
                return  # an earlier try of the same write was carried out
            self._give_up(run.uid)
            raise _again("the run changed while it was being started") from error
        self._own_writes.note(made["metadata"]["resourceVersion"])
        self._cache.wrote_status(run, made["metadata"], whole, written_on=version)

    def _message(
        self,
        run: RunRecord,
        body: TaskRunBody,
        resolved: TaskSpecBody,
        handover: Handover,
        *,
        number: int,
        now: float,
    ) -> dict[str, object]:
        spec, timeout = body["spec"], bounded_or(3600, resolved.get("timeoutSeconds"))
        grace = self._grace(run, handover)
        deadline, first = resolved.get("deadlineSeconds"), self._cache.under_way.first_began(run)
        left = None if deadline is None else max(0.0, deadline - (now - first if first is not None else 0.0))
        return {
            "handover": handover.ident,
            "run": {
                "namespace": run.namespace,
                "name": run.name,
                "uid": run.uid,
                "attempt": number,
                "queue": resolved.get("queue") or DEFAULT_QUEUE,
                "key": run.concurrency_key,
            },
            "task": (spec.get("taskRef") or {}).get("name") or "",
            "entrypoint": resolved.get("entrypoint") or "",
            "maxAttempts": (resolved.get("retry") or {}).get("maxAttempts", 3),
            "env": {e["name"]: e.get("value") or "" for e in resolved.get("env") or []},
            "payload": spec.get("payload") or {},
            "timeout": timeout,
            "startTimeout": bounded_or(300, resolved.get("startTimeoutSeconds"), low=1),
            "deadline": left,
            "grace": grace,
            "token": self._tokens.issue(run, handover, number=number, seconds=timeout + grace if timeout else None),
            "resultMaxBytes": POOL_RESULT_MAX_BYTES,
        }

    def _grace(self, run: RunRecord, handover: Handover) -> int:
        pool = self._cache.pools.pools.get((run.namespace, handover.pool))
        template = pool.spec.get("podTemplate") if pool is not None else None
        spec = template.get("spec") if template is not None else None
        given = spec.get("terminationGracePeriodSeconds") if isinstance(spec, dict) else None
        return bounded_or(GRACE_SECONDS, given)

    def _send(self, attempt: AttemptRecord, handover: Handover) -> None:
        """Send it to the worker. What can't be sent now is sent, or given up, when its connection is there again."""
        unsent = self._unsent.get(attempt.run_uid)
        connection = self._workers.find(handover.pod_uid)
        if (
            unsent is None
            or unsent.ident != handover.ident
            or connection is None
            or connection.instance != handover.instance
        ):
            return
        try:
            self._guard()
        except NotLeadingError:
            return
        connection.held.add(handover.ident)
        if unsent.prepared_by is connection:
            sent = connection.send("commit", handover=handover.ident)
        else:
            sent = connection.send("start", **unsent.message)
        if not sent:
            connection.held.discard(handover.ident)
            return
        del self._unsent[attempt.run_uid]
        self._cache.handovers.is_held(attempt)

    def _drop_unsent(self, run_uid: str) -> None:
        """Give up what an earlier try has left, of which it isn't known whether it was written; also that of runs that are gone."""
        for uid in [uid for uid in self._unsent if uid == run_uid or uid not in self._cache.runs]:
            self._give_up(uid)

    def _give_up(self, run_uid: str) -> None:
        """It will not be sent."""
        unsent = self._unsent.pop(run_uid, None)
        if unsent is not None and unsent.prepared_by is not None:
            unsent.prepared_by.send("abort", handover=unsent.ident)

    async def keep_tokens(self) -> None:
        """For ever: a run without a timeout outlives its token, so it gets another in time."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for attempt in self._cache.attempts.all():
                self.renew_token(attempt)

    def renew_token(self, attempt: AttemptRecord) -> None:
        """Send its worker another token, if the attempt has no timeout."""
        given, run = attempt.handover, self._cache.runs.get(attempt.run_uid)
        connection = self._workers.find(given.pod_uid) if given is not None else None
        if given is None or run is None or connection is None or attempt.plan.timeout or is_over(attempt):
            return
        token = self._tokens.issue(run, given, number=attempt.number, seconds=None)
        if token is not None and given.ident in connection.held:
            connection.send("token", handover=given.ident, token=token)

    async def find(self, run: RunRecord, *, number: int) -> bool:
        """Whether the write that names the attempt was carried out after all: the run is read again."""
        try:
            body = await self._client.get(
                own_path("taskruns", run.namespace, run.name), TaskRunBody, resource="taskruns"
            )
        except KubeError as error:
            if error.code != 404:
                raise
            self._cache.drop_run(run.uid)
            return False
        self._cache.upserted("taskruns", body)
        return any(a["number"] == number and a.get("handover") for a in run.status.attempts)

    async def frozen_spec(self, attempt: AttemptRecord) -> TaskSpecBody | None:
        """None: it is in the run's status, which the caller has read."""
        return None

    async def stop(self, attempt: AttemptRecord, why: Cause) -> None:
        """Ask the worker to stop it. One that isn't connected is asked when it is."""
        self._cache.handovers.stopping(attempt, why)
        self._say_stop(attempt)

    def _say_stop(self, attempt: AttemptRecord) -> None:
        given = attempt.handover
        connection = self._workers.find(given.pod_uid) if given is not None else None
        if given is None or connection is None or attempt.stop is None:
            return
        connection.send("stop", handover=given.ident, why=attempt.stop.reason)

    async def discard(self, attempt: AttemptRecord) -> None:
        """As `stop`: there is nothing that could start again."""
        await self.inspect(attempt)

    async def inspect(self, attempt: AttemptRecord) -> None:
        """Whether its worker has it, never had it, has ended, or doesn't answer."""
        self.look(attempt)
        given = attempt.handover
        if given is None or is_over(attempt):
            return
        if not attempt.unwatched or self._workers.find(given.pod_uid) is not None:
            self._cache.attempts.inspected(attempt, at=self._clock(), runs=attempt.run_uid in self._cache.runs)
            return
        if not await self._pod_is_there(attempt, given):
            self._end(attempt, ProcessEnd(at=self._clock(), lost=ended_by(None, given.instance)))
            return
        self._cache.handovers.is_silent(attempt, now=self._clock())

    def look(self, attempt: AttemptRecord) -> None:
        """The same, as far as it is known without asking."""
        given = attempt.handover
        if given is None or is_over(attempt):
            return
        over = self._cache.pools.is_over(given.pod_uid, given.instance)
        if over is not False:
            pod = over if isinstance(over, WorkerPodRecord) else None
            lost = NOT_STARTED if self._is_unsent(attempt) else ended_by(pod, given.instance)
            self._end(attempt, ProcessEnd(at=self._clock(), lost=lost))
            return
        connection = self._workers.find(given.pod_uid)
        if connection is None:
            return
        if self._is_unsent(attempt):
            self._send(attempt, given)
        elif given.ident not in connection.held or connection.instance != given.instance:
            self._end(attempt, ProcessEnd(at=self._clock(), lost=NOT_STARTED))
            return
        else:
            self._cache.handovers.is_held(attempt)
        run = self._cache.runs.get(attempt.run_uid)
        if (run is None or run.status.phase.terminal) and attempt.stop is None:
            self._cache.handovers.stopping(attempt, Cause("Deleted", "its run is gone"))
        self._say_stop(attempt)

    async def _pod_is_there(self, attempt: AttemptRecord, given: Handover) -> bool:
        path = f"/api/v1/namespaces/{attempt.namespace}/pods/{given.pod_name}"
        try:
            body = await self._client.get(path, KubeObject, resource="pods")
        except KubeError as error:
            if error.code != 404:
                raise
            return False
        return body["metadata"]["uid"] == given.pod_uid

    def _is_unsent(self, attempt: AttemptRecord) -> bool:
        given = attempt.handover
        unsent = self._unsent.get(attempt.run_uid)
        return given is not None and unsent is not None and unsent.ident == given.ident

    def _end(self, attempt: AttemptRecord, end: ProcessEnd) -> None:
        if self._is_unsent(attempt):
            self._give_up(attempt.run_uid)
        self._cache.handovers.ended(attempt, end, now=self._clock())

    def recorded(self, run: RunRecord, status: TaskRunStatusBody) -> None:
        """The end of an attempt is written: its worker may forget it."""
        last = (status.get("attempts") or [{"number": 0}])[-1]
        ident, pod_uid = last.get("handover"), last.get("podUid")
        if ident and pod_uid and last.get("outcome"):
            self.forget(pod_uid, ident)

    def forget(self, pod_uid: str, ident: str) -> None:
        """The worker may forget a hand-over: its outcome is stored, or its run is gone.

        An outcome comes again before the worker is ready, where the word that it is kept was lost with a connection.
        """
        self._cache.admission.pools.wrote(pod_uid, ident)
        connection = self._workers.connected(pod_uid)
        if connection is not None and ident in connection.held:
            connection.held.discard(ident)
            connection.send("written", handover=ident)

    async def recover(self, run: RunRecord, *, number: int, job_name: str, resolved: TaskSpecBody | None) -> bool:
        """What a status says of a hand-over is under way as soon as it is read: there is nothing to find."""
        return True


def _again(message: str) -> StartRefusedError:
    return StartRefusedError(Cause(Reason.POOL_NOT_READY, message), pause=0.0)
