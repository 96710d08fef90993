"""Which runs a Schedule makes, replaces and deletes now, and what its status says.

A tick is dealt with once `lastScheduleTime` has reached it. That is written after the tick's run is made and records it, so
a decision either makes runs or speaks: first the runs, then, with them in the cache, the status. Who dies in between leaves
a run whose name is the tick's; it counts as made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegate_api.bodies import ScheduleStatusBody
from tidegate_api.cron import BadCronError, Cron
from tidegate_api.names import Phase, ScheduleReason
from tidegate_api.objects import Condition
from tidegate_api.times import format_second, format_time, parse_time

from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.run import RunRecord

ON_TIME_SECONDS: Final = 60.0
"""With `catchUp: None` a tick may be so late: as long as a fail-over may take."""

CATCH_UP_MOST: Final = 100
ACTIVE_MOST: Final = 100
ACTIVE_LASTS: Final = 1.0
"""That a run came or went is written once the last write is so long ago; a tick is recorded at once."""


@dataclass(slots=True, frozen=True)
class Standing:
    """Reason and message of the condition Ready."""

    reason: ScheduleReason
    message: str


SCHEDULED: Final = Standing(ScheduleReason.SCHEDULED, "runs are made at the times of spec.cron")
SUSPENDED: Final = Standing(ScheduleReason.SUSPENDED, "no runs are made while spec.suspend is true")
READY: Final = frozenset({ScheduleReason.SCHEDULED, ScheduleReason.SUSPENDED})
MISSED: Final = "MissSchedule"
"""Reason of the Event that reports ticks without a run; a CronJob's has the same."""

LASTING: Final = frozenset({ScheduleReason.CREATE_REFUSED, ScheduleReason.NAME_TAKEN})
"""What was said of a tick stands until the next one is dealt with."""


@dataclass(slots=True)
class Progress:
    """What the operator did for a Schedule and the Schedule doesn't record yet."""

    uid: str
    generation: int
    reached: float | None = None
    """The last tick dealt with."""
    trouble: Standing | None = None
    """Why the last tick has no run."""
    retry_at: float = 0.0
    written: float = float("-inf")
    """When the status was last written."""


@dataclass(slots=True)
class Decision:
    """What to do now, in this order, and when to ask again if nothing happens before."""

    cancel: list[RunRecord] = field(default_factory=list)
    create: list[float] = field(default_factory=list)
    status: ScheduleStatusBody | None = None
    missed: str | None = None
    """Which ticks are dealt with by this without a run, and why, in a sentence."""
    delete: list[RunRecord] = field(default_factory=list)
    wake_at: float | None = None

    def wake(self, at: float | None) -> None:
        """Ask again at `at` at the latest."""
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at


def decide(
    schedule: ScheduleRecord,
    runs: Sequence[RunRecord],
    progress: Progress,
    now: float,
    *,
    is_needed: Callable[[RunRecord], bool] | None,
) -> Decision:
    """What to do about `schedule` at `now`. `runs` are all that carry its label; without `is_needed` none is deleted here."""
    decision, spec = Decision(), schedule.spec
    active = sorted((r for r in runs if not r.status.phase.terminal), key=lambda r: (r.created, r.name))
    reached = _reached(schedule, runs, progress, now)
    upcoming, ready = None, SUSPENDED
    try:
        cron = Cron.parse(spec["cron"], spec.get("timeZone") or "UTC")
        if not spec.get("suspend"):
            if _counts_from_now(schedule, cron):
                reached = max([reached, *cron.latest(after=reached, until=now, count=1)])
            reached = _make_due(decision, cron, schedule, active, progress, reached, now)
            if decision.create:
                return decision
            upcoming = cron.next(reached)
            ready = progress.trouble or _standing(schedule, reached) or SCHEDULED
            if upcoming is not None and upcoming > now:
                decision.wake(upcoming)
    except BadCronError as error:
        ready = Standing(error.reason, str(error))
    if is_needed is not None:
        decision.delete = [r for r in _surplus(schedule, runs) if not is_needed(r)]
    status = _status(schedule, active, reached=reached, upcoming=upcoming, ready=ready, now=now)
    if {**status, "active": 0} == {**schedule.status, "active": 0} and now < progress.written + ACTIVE_LASTS:
        decision.wake(progress.written + ACTIVE_LASTS if status != schedule.status else None)
    elif status != schedule.status:
        decision.status = status
    return decision


def _reached(schedule: ScheduleRecord, runs: Sequence[RunRecord], progress: Progress, now: float) -> float:
    made = (tick for run in runs if (tick := schedule.tick_of(run.name)) is not None and tick <= now)
    return max([schedule.counted_to, progress.reached or 0.0, *made])


def _counts_from_now(schedule: ScheduleRecord, cron: Cron) -> bool:
    """Whether other times were recorded before: a changed cron, a mended one and the end of a suspension count from now on."""
    status = schedule.status
    was = parse_time(status.get("nextScheduleTime"))
    if not status.get("conditions") or was == cron.next(schedule.counted_to):
        return False
    return was is None or status.get("observedGeneration") != schedule.generation


def _make_due(
    decision: Decision,
    cron: Cron,
    schedule: ScheduleRecord,
    active: list[RunRecord],
    progress: Progress,
    reached: float,
    now: float,
) -> float:
    """Ask for the runs that are due. Answers with the last tick that is dealt with."""
    spec = schedule.spec
    policy, catch_up = spec.get("concurrencyPolicy") or "Allow", spec.get("catchUp") or "Latest"
    first = cron.next(reached)
    if first is None or first > now:
        return reached
    late = float(spec.get("startingDeadlineSeconds") or "inf")
    if catch_up == "None":
        late = min(late, ON_TIME_SECONDS)
    # Each run would replace the one before.
    count = CATCH_UP_MOST if catch_up == "All" and policy != "Replace" else 1
    due = cron.latest(after=max(reached, now - late), until=now, count=count)
    if not due:  # all are missed
        last = max([reached, *cron.latest(after=reached, until=now, count=1)])
        decision.missed = _missed(cron, after=reached, until=last, why=_why_late(late, policy, active))
        return last
    if now < progress.retry_at:
        decision.wake(progress.retry_at)
    elif policy != "Forbid" or not active:
        decision.create = due[:1] if policy == "Forbid" else due
        if first < due[0]:
            why = _why_late(late, policy, active) if first <= now - late else _why_left_out(catch_up, policy)
            decision.missed = _missed(cron, after=reached, until=math.nextafter(due[0], first), why=why)
        decision.cancel = [r for r in active if not r.cancel] if policy == "Replace" else []
        return reached
    if late != float("inf"):
        decision.wake(due[-1] + late)  # then it is missed
    return reached


def _missed(cron: Cron, *, after: float, until: float, why: str) -> str:
    """A sentence on the ticks in (after, until]; there is one at least."""
    ticks = cron.latest(after=after, until=until, count=CATCH_UP_MOST + 1)
    if len(ticks) == 1:
        return f"no run was made for {format_second(ticks[0])}: {why}"
    many = f"{len(ticks)} times" if len(ticks) <= CATCH_UP_MOST else f"more than {CATCH_UP_MOST} times"
    return f"no runs were made for {many} until {format_second(ticks[-1])}: {why}"


def _why_late(late: float, policy: str, active: list[RunRecord]) -> str:
    passed = f"more than {late:.0f} s have passed since"
    if policy == "Forbid" and active:
        return f"{passed}, and {active[0].name} still goes on, beside which concurrencyPolicy forbids another"
    return passed


def _why_left_out(catch_up: str, policy: str) -> str:
    if catch_up != "All":
        return "catchUp Latest makes up for the newest only"
    return (
        "each would replace the one before"
        if policy == "Replace"
        else f"catchUp All makes up for {CATCH_UP_MOST} at most"
    )


def _standing(schedule: ScheduleRecord, reached: float) -> Standing | None:
    if schedule.status.get("observedGeneration") != schedule.generation or reached > schedule.counted_to:
        return None
    return next(
        (
            Standing(ScheduleReason(c["reason"]), c.get("message") or "")
            for c in schedule.status.get("conditions") or ()
            if c.get("reason") in LASTING
        ),
        None,
    )


def _status(
    schedule: ScheduleRecord,
    active: list[RunRecord],
    *,
    reached: float,
    upcoming: float | None,
    ready: Standing,
    now: float,
) -> ScheduleStatusBody:
    state = "True" if ready.reason in READY else "False"
    before = next(iter(schedule.status.get("conditions") or ()), Condition())
    since = before.get("lastTransitionTime") if before.get("status") == state else None
    counted = reached > schedule.counted_to or "lastScheduleTime" in schedule.status
    status: ScheduleStatusBody = {
        "observedGeneration": schedule.generation,
        "conditions": [
            {
                "type": "Ready",
                "status": state,
                "reason": str(ready.reason),
                "message": ready.message,
                "observedGeneration": schedule.generation,
                "lastTransitionTime": since or format_time(now),
            }
        ],
    }
    if counted:
        status["lastScheduleTime"] = format_second(reached)
    if upcoming is not None:
        status["nextScheduleTime"] = format_second(upcoming)
    if active:
        status["active"] = [{"name": r.name, "uid": r.uid} for r in active[:ACTIVE_MOST]]
    return status


def _surplus(schedule: ScheduleRecord, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Finished runs beyond the history limits, oldest first; none whose tick the status doesn't record yet."""
    beyond: list[RunRecord] = []
    spec = schedule.spec
    limits = ((spec.get("successfulRunsHistoryLimit"), True), (spec.get("failedRunsHistoryLimit"), False))
    for most, succeeded in limits:
        if most is None:
            continue
        ended = [r for r in runs if r.status.phase.terminal and (r.status.phase is Phase.SUCCEEDED) is succeeded]
        ended.sort(key=lambda r: (r.created, r.name))
        beyond += ended[: max(0, len(ended) - most)]
    return [r for r in beyond if not schedule.holds(r.name)]
