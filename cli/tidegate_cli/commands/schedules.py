"""Schedules: listed, triggered, suspended, resumed."""

from collections.abc import Sequence
from typing import Final

import click
from tidegate_api.bodies import JsonObject
from tidegate_api.run_json import Definition

from tidegate_cli import completing, output
from tidegate_cli.backends.base import SCHEDULES, Backend
from tidegate_cli.commands.listing import list_command
from tidegate_cli.commands.switching import switch_command
from tidegate_cli.commands.watching import check_timeout, report_created, timeout_option, watch_option
from tidegate_cli.options import connected, formatted, with_payload
from tidegate_cli.output import Column

COLUMNS: Final[Sequence[Column[Definition]]] = (
    Column(head="NAME", cell=lambda schedule: schedule["name"]),
    Column(head="CRON", cell=lambda schedule: schedule["spec"].get("cron")),
    Column(head="ZONE", cell=lambda schedule: schedule["spec"].get("timeZone", "UTC")),
    Column(head="SUSPENDED", cell=lambda schedule: "yes" if schedule["spec"].get("suspend") else "no"),
    Column(head="LAST", cell=lambda schedule: output.age(schedule["status"].get("lastScheduleTime"))),
    Column(head="NEXT", cell=lambda schedule: schedule["status"].get("nextScheduleTime")),
    Column(head="ACTIVE", cell=lambda schedule: str(len(schedule["status"].get("active") or []))),
    Column(head="AGE", cell=lambda schedule: output.age(schedule["createdAt"])),
)


@click.group("schedules")
def schedules() -> None:
    """Schedules: runs by cron."""


schedules.add_command(list_command(SCHEDULES, COLUMNS))


@schedules.command("trigger")
@click.argument("schedule", shell_complete=completing.schedules)
@with_payload
@watch_option
@timeout_option
@formatted
@connected
def trigger(
    backend: Backend, *, schedule: str, payload: JsonObject | None, watch: bool, timeout: float | None, form: str | None
) -> int:
    """Make a run of SCHEDULE's template now; what its cron does stays as it is."""
    check_timeout(watch, timeout)
    made = backend.trigger(schedule, payload=payload)
    return report_created(backend, made, watch=watch, timeout=timeout, form=form)


schedules.add_command(
    switch_command(
        "suspend",
        noun="SCHEDULE",
        complete=completing.schedules,
        change=lambda backend, name: backend.suspend_schedule(name, suspend=True),
        done="suspended",
        text="Let no further tick of SCHEDULE make a run.",
    )
)
schedules.add_command(
    switch_command(
        "resume",
        noun="SCHEDULE",
        complete=completing.schedules,
        change=lambda backend, name: backend.suspend_schedule(name, suspend=False),
        done="resumed",
        text="Let the ticks of SCHEDULE make runs again.",
    )
)
