"""Schedules: listed, triggered, backfilled, suspended, resumed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click
from tidegate_api.bodies import JsonObject
from tidegate_api.run_json import Definition

from tidegate_cli import completing, output
from tidegate_cli.backends.base import SCHEDULES, Backend
from tidegate_cli.commands.listing import list_command
from tidegate_cli.commands.switching import switch_command
from tidegate_cli.commands.watching import check_timeout, report_created, timeout_option, watch_option
from tidegate_cli.errors import NOT_DONE
from tidegate_cli.options import Moment, connected, formatted, with_payload
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


@schedules.command("backfill")
@click.argument("schedule", shell_complete=completing.schedules)
@click.option("--since", type=Moment(), metavar="TIME", required=True, help="From here on: 2d ago, or a time.")
@click.option("--until", type=Moment(), metavar="TIME", default="0s", help="To here, both included; else now.")
@click.option("--dry-run", is_flag=True, help="Show which ticks have no run, and start none.")
@click.option("-o", "--output", "form", type=click.Choice(("json", "yaml")), help="Instead of text for people.")
@connected
def backfill(
    backend: Backend, *, schedule: str, since: datetime, until: datetime, dry_run: bool, form: str | None
) -> int:
    """Start a run for each past tick of SCHEDULE that has none: while it was suspended, or before it was made."""
    done = backend.backfill(schedule, since=since, until=until, dry_run=dry_run)
    if form is not None:
        output.show_data(done, form)
    elif dry_run:
        for tick in done["ticks"]:
            click.echo(tick)
        output.say(f"{runs(len(done['ticks']))} would start; {done['there']} ticks have a run")
    else:
        click.echo(f"{runs(done['started'])} started in batch {done['batch']}; {done['there']} ticks had a run")
    for problem in done["problems"]:
        output.say(problem)
    return NOT_DONE if done["problems"] else 0


def runs(number: int) -> str:
    """So many."""
    return f"{number} run{'' if number == 1 else 's'}"


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
