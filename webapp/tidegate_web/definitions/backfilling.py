"""Runs for ticks of a Schedule that have passed without one: of a time before it was made, or in which it was suspended.

Each has the name of its tick, so that no tick gets a second run, neither by another backfill nor by the operator. Ticks that the
operator has still to deal with are left to it: a run of a later tick would have it skip them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Final

from tidegate_api import ticks
from tidegate_api.cron import BadCronError, Cron
from tidegate_api.run_names import base36

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.definitions.triggering import schedule_to_run, triggered
from tidegate_web.runs.create import CreatedRun, RequestedRun, create_all
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject, as_object, as_text
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.times import parse_time, rfc3339_seconds
from tidegate_web.store.queries import run_keys

MOST_TICKS: Final = 500
"""Of one backfill, those that have a run included."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a backfill would do."""

    since: datetime
    until: datetime
    """The last tick is no later; earlier than what was asked for where the operator deals with what comes after."""
    missing: list[datetime]
    there: int
    """Ticks that have a run."""


@dataclass(frozen=True, kw_only=True)
class Backfilled:
    """What a backfill has done."""

    batch: str
    made: int
    there: int
    """Ticks whose run was made by another in the meantime."""
    problems: list[str]


def plan(made: Services, actor: Actor, project: str, name: str, *, since: datetime, until: datetime) -> Plan:
    """Which ticks of a time, both ends included, have no run. 422 where that are too many to be started at once."""
    schedule = schedule_to_run(made, actor, project, name)
    return _plan(made, project, schedule, since=since, until=until)


def backfill(
    made: Services,
    actor: Actor,
    project: str,
    name: str,
    *,
    since: datetime,
    until: datetime,
    confirmed: int | None = None,
) -> tuple[Plan, Backfilled]:
    """Start a run for each tick that has none. 409 where these aren't as many as were ``confirmed``."""
    schedule = schedule_to_run(made, actor, project, name)
    if schedule["spec"].get("concurrencyPolicy") == "Replace" and not schedule["spec"].get("suspend"):
        raise Problem(
            409, "The next tick would cancel these runs, as concurrencyPolicy is Replace. Suspend the Schedule first."
        )
    found = _plan(made, project, schedule, since=since, until=until)
    if confirmed is not None and len(found.missing) != confirmed:
        raise Problem(409, f"{len(found.missing)} ticks have no run by now, and {confirmed} were confirmed.")
    batch = f"{name}-backfill-{base36(int(made.clock.now().timestamp() * 1000))}"
    detail: JsonObject = {"from": rfc3339_seconds(found.since), "until": rfc3339_seconds(found.until), "batch": batch}
    with audited(made, actor, "schedule.backfill", project=project, target=name, detail=detail):
        answers = create_all(
            made, project, [_run(schedule, tick, batch=batch) for tick in found.missing], who=actor.name
        )
        problems = [answer for answer in answers if isinstance(answer, Problem)]
        detail["made"] = sum(isinstance(answer, CreatedRun) for answer in answers)
    return found, Backfilled(
        batch=batch,
        made=len(answers) - len(problems),
        there=sum(problem.status == 409 for problem in problems),
        problems=sorted({problem.detail for problem in problems if problem.status != 409}),
    )


def _run(schedule: KubeObject, tick: datetime, *, batch: str) -> RequestedRun:
    run = triggered(schedule, payload=None, name=ticks.run_name(schedule["metadata"]["name"], tick.timestamp()))
    run.spec.setdefault("batch", batch)
    return RequestedRun(run=run)


def _plan(made: Services, project: str, schedule: KubeObject, *, since: datetime, until: datetime) -> Plan:
    if until < since:
        raise invalid("until", "must not be before the beginning")
    spec, name = schedule["spec"], schedule["metadata"]["name"]
    last = min(until, _dealt_with(schedule, now=made.clock.now()))
    try:
        cron = Cron.parse(as_text(spec.get("cron")) or "", as_text(spec.get("timeZone")) or "UTC")
    except BadCronError as error:
        raise Problem(409, f"{error}.") from error
    passed = takewhile(lambda tick: tick <= last.timestamp(), cron.after(since.timestamp() - 1))
    found = list(islice(passed, MOST_TICKS + 1))
    if len(found) > MOST_TICKS:
        raise invalid("until", f"more than {MOST_TICKS} ticks are in this time: take a shorter one")
    with made.engine.connect() as connection:
        there = run_keys.names_there(connection, project=project, names=[ticks.run_name(name, tick) for tick in found])
    missing = [datetime.fromtimestamp(tick, UTC) for tick in found if ticks.run_name(name, tick) not in there]
    return Plan(since=since, until=last, missing=missing, there=len(found) - len(missing))


def _dealt_with(schedule: KubeObject, *, now: datetime) -> datetime:
    """Until when the operator makes no more runs by itself. A suspended Schedule counts from the end of its suspension."""
    if schedule["spec"].get("suspend"):
        return now
    status = as_object(schedule.get("status"))
    last = parse_time(status.get("lastScheduleTime")) or parse_time(schedule["metadata"]["creationTimestamp"])
    return now if last is None else min(last, now)
