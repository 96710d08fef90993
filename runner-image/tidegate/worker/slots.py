"""The runs of a worker, and the outcomes that no leader has stored yet."""

from __future__ import annotations

import base64
import os
from typing import Callable, Iterator, NamedTuple, Optional

from tidegate.worker import directories, environment, messages
from tidegate.worker.active_run import ActiveRun
from tidegate.worker.child_processes import Children
from tidegate.worker.lifecycle import Lifecycle
from tidegate.worker.log import Log, Turns
from tidegate.worker.loop import Loop
from tidegate.worker.messages import Note, RunSpec
from tidegate.worker.protocol import Json, RunToken, Start, encode, encode_outcome
from tidegate.worker.settings import Settings
from tidegate.worker.zygote_process import ZygoteProcess

REFILL_SECONDS = 0.02
"""After a function's start: a short run isn't to share its processors with the fork for the next one."""
LOOK_AGAIN_SECONDS = 0.01
"""While processes of a killed subreaper are still there, or what a run has left can't be kept yet."""


class Outcome(NamedTuple):
    """How a run ended."""

    fields: Json
    """Of ``ended``, but for the age."""
    at: float


class Slots:
    """Runs and outcomes. ``tell`` sends a line to the leader, if there is one; what it misses is said again to the next."""

    def __init__(
        self,
        settings: Settings,
        base: dict[str, str],
        *,
        zygote: ZygoteProcess,
        children: Children,
        loop: Loop,
        log: Log,
        turns: Turns,
        clock: Callable[[], float],
        tell: Callable[[bytes], None],
        orphans: Callable[[], bool],
    ) -> None:
        self._settings, self._base = settings, base
        self._zygote, self._children = zygote, children
        self._loop, self._log, self._turns = loop, log, turns
        self._clock, self._tell, self._orphans = clock, tell, orphans
        self._runs: dict[str, ActiveRun] = {}
        self._prepared: dict[str, ActiveRun] = {}
        """Runs that wait for their commit. Those of a connection go with it."""
        self._problems: dict[str, str] = {}
        """Why others are refused at theirs."""
        self._outcomes: dict[str, Outcome] = {}
        self._refill_at: Optional[float] = None
        """When another process is forked ahead, if no run ends before."""
        self.draining = False
        """Whether no more runs are taken."""

    @property
    def busy(self) -> int:
        """How many runs there are, with those that are prepared."""
        return len(self._runs) + len(self._prepared)

    @property
    def unwritten(self) -> int:
        """How many outcomes are kept."""
        return len(self._outcomes)

    def greeting(self) -> Iterator[bytes]:
        """What a new leader has to know, as of now. It is encoded when it is sent: it may be much."""
        return self._greet(list(self._runs.values()), list(self._outcomes))

    def _greet(self, runs: list[ActiveRun], outcomes: list[str]) -> Iterator[bytes]:
        for run in runs:
            yield encode("held", handover=run.start.handover, run=run.start.run.echo)
        for handover in outcomes:
            if handover in self._outcomes:
                yield _encoded(self._outcomes[handover], self._clock())
        yield encode("ready")
        for run in runs:
            if run.lifecycle.started is not None and self._runs.get(run.start.handover) is run:
                yield _started(run, self._clock())

    def take(self, start: Start) -> None:
        """Run something, or refuse it."""
        self.prepare(start)
        self.commit(start.handover)

    def prepare(self, start: Start) -> None:
        """Get all ready that a run needs. What can't be is said at its commit."""
        problem = self._refusal(start.handover)
        if problem is not None:
            self.cannot_prepare(start.handover, problem)
            return
        directory = os.path.join(self._settings.directory, start.handover)
        run = ActiveRun(start, directory, self._lifecycle(start), loop=self._loop, turns=self._turns)
        self._prepared[start.handover] = run
        try:
            self._hand_on(run)
        except OSError as error:
            self._cannot_start(run, str(error))

    def cannot_prepare(self, handover: str, problem: str) -> None:
        """Refuse a run once it is to begin."""
        self._problems[handover] = problem

    def commit(self, handover: str) -> None:
        """Run what is prepared, or refuse it."""
        run = self._prepared.pop(handover, None)
        if run is None:
            self.refuse(handover, self._problems.pop(handover, "it was not prepared"))
            return
        self._runs[handover] = run
        run.go(self._lifecycle(run.start))

    def abort(self, handover: str) -> None:
        """Drop what is prepared."""
        self._problems.pop(handover, None)
        run = self._prepared.pop(handover, None)
        if run is None:
            return
        run.abort()
        if run.child is not None:
            self._children.release(run.child)
        self._remove(run)
        self._refill_at = self._clock()

    def abort_prepared(self) -> None:
        """Drop all that is prepared."""
        self._problems.clear()
        for handover in list(self._prepared):
            self.abort(handover)

    def refuse(self, handover: str, problem: str) -> None:
        """Say that a run isn't taken."""
        self._log.event("warning", "a run is refused", handover=handover, message=problem)
        self._tell(encode("refused", handover=handover, message=problem))

    def stop(self, handover: str, why: str) -> None:
        """Have a run stopped."""
        run = self._runs.get(handover)
        if run is not None:
            run.lifecycle.stop(why, self._clock())

    def stop_all(self, why: str) -> None:
        """Have all runs stopped."""
        for handover in self._runs:
            self.stop(handover, why)

    def forget(self, handover: str) -> None:
        """An outcome is stored."""
        self._outcomes.pop(handover, None)

    def renew_token(self, message: RunToken) -> None:
        """A run has a new token."""
        run = self._runs.get(message.handover)
        if run is not None:
            try:
                directories.replace_token(run.directory, message.token)
            except OSError as error:
                self._log.event(
                    "warning", "a run's token can't be renewed", handover=message.handover, message=str(error)
                )

    def tick(self) -> Optional[float]:
        """Do what is due; when to look again."""
        now = self._clock()
        looks: list[float] = []
        for run in list(self._runs.values()):
            step = run.lifecycle.due(now) if run.status is None else None
            while step is not None:
                run.do(step)
                step = run.lifecycle.due(now)
            if run.look_for_loss(self._orphans, now):
                looks.append(now + LOOK_AGAIN_SECONDS)
            if run.status is not None:
                if self._turns.takes_more:
                    self._end(run)
                else:
                    looks.append(now + LOOK_AGAIN_SECONDS)
            else:
                next_look = run.lifecycle.next_look()
                looks += [] if next_look is None else [next_look]
        if self._refill_at is not None and self._clock() >= self._refill_at:
            self._refill_at = None
            self._children.refill()
        if self._refill_at is not None:
            looks.append(self._refill_at)
        return min(looks, default=None)

    def _refusal(self, handover: str) -> Optional[str]:
        if handover in self._runs or handover in self._prepared or handover in self._outcomes:
            return "this hand-over is known"
        if self.draining:
            return "the worker is draining"
        if not self._zygote.alive:
            return "the worker has no zygote"
        if self.busy >= self._settings.slots:
            return "no slot is free"
        if self.busy + len(self._outcomes) >= 2 * self._settings.slots:
            return "too many outcomes are not written"
        return None

    def _hand_on(self, run: ActiveRun) -> None:
        start = run.start
        directories.create(run.directory, start.payload, start.token)
        env = environment.for_run(
            self._base,
            start,
            pool=self._settings.pool,
            directory=run.directory,
            api_url=self._settings.api_url,
            has_token=start.token is not None,
        )
        spec = messages.write_spec(RunSpec(start.entrypoint, run.directory, env, self._settings.memory_per_run))
        try:
            child = self._children.take()
        except OSError:
            os.close(spec)
            raise
        run.prepare(child, spec, self._changed, self._clock)

    def _lifecycle(self, start: Start) -> Lifecycle:
        return Lifecycle(
            received=self._clock(),
            timeout=start.timeout,
            start_timeout=start.start_timeout,
            deadline=start.deadline,
            grace=start.grace,
        )

    def _cannot_start(self, run: ActiveRun, why: str) -> None:
        self._log.event("error", "a run can't be started", handover=run.start.handover, message=why)
        run.failed(why, self._clock())

    def _changed(self, run: ActiveRun) -> None:
        """A pipe of a run has said something."""
        if run.lifecycle.started is not None and not run.start_reported:
            run.start_reported = True
            self._tell(_started(run, self._clock()))
            self._refill_at = self._clock() + REFILL_SECONDS

    def _end(self, run: ActiveRun) -> None:
        assert run.status is not None
        assert run.ended is not None
        handover = run.start.handover
        output = run.finish_output()
        result = directories.read_result(run.directory)
        fields: dict[str, object] = {
            "handover": handover,
            "run": run.start.run.echo,
            "exitCode": run.status if run.status >= 0 else None,
            "signal": -run.status if run.status < 0 else None,
            "stopped": run.lifecycle.stopped,
            "tooLarge": result.too_large,
            "output": output,
            "ran": run.lifecycle.ran(run.ended),
        }
        if run.usage is not None:
            fields["usage"] = run.usage.document()
        data = result.data or run.problem.encode()
        if data:
            fields["result"] = base64.b64encode(data).decode()
        del self._runs[handover]
        if run.child is not None:
            self._children.release(run.child)
        self._refill_at = self._clock()
        self._outcomes[handover] = Outcome(fields, run.ended)
        self._tell(_encoded(self._outcomes[handover], self._clock()))
        # After the leader has heard of it: a file system takes longer than all the rest.
        self._remove(run)

    def _remove(self, run: ActiveRun) -> None:
        if not directories.remove_if_small(run.directory) and self._zygote.alive:
            self._zygote.ask(Note(messages.REMOVE, run.directory))


def _started(run: ActiveRun, now: float) -> bytes:
    assert run.lifecycle.started is not None
    return encode("started", handover=run.start.handover, age=max(0.0, now - run.lifecycle.started))


def _encoded(outcome: Outcome, now: float) -> bytes:
    return encode_outcome({**outcome.fields, "age": max(0.0, now - outcome.at)})
