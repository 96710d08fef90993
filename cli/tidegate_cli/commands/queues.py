"""Queues: listed, paused, resumed."""

from functools import partial
from typing import Final

import click

from tidegate_cli import completing, output
from tidegate_cli.backends.base import QUEUES, Backend, Json
from tidegate_cli.commands.listing import list_command
from tidegate_cli.options import connected, formatted
from tidegate_cli.output import Column


def _rate(queue: Json) -> str:
    rate = queue["spec"].get("rateLimit")
    return f"{rate['runs']} in {rate['perSeconds']}s" if rate else ""


COLUMNS: Final = (
    Column(head="NAME", cell=lambda queue: queue["name"]),
    Column(head="PAUSED", cell=lambda queue: "yes" if queue["spec"].get("paused") else "no"),
    Column(head="RUNNING", cell=lambda queue: str(queue["status"].get("running", 0))),
    Column(head="LIMIT", cell=lambda queue: str(queue["spec"].get("concurrencyLimit", "none"))),
    Column(head="PENDING", cell=lambda queue: str(queue["status"].get("pending", 0))),
    Column(head="OLDEST", cell=lambda queue: output.age(queue["status"].get("oldestPendingAt"))),
    Column(head="AGE", cell=lambda queue: output.age(queue["createdAt"])),
    Column(head="LIMIT OF A KEY", cell=lambda queue: queue["spec"].get("concurrencyLimitPerKey"), wide=True),
    Column(head="RATE", cell=_rate, wide=True),
)


@click.group("queues")
def queues() -> None:
    """Queues: how many runs go at once, and whether any start."""


queues.add_command(list_command(QUEUES, COLUMNS, hint="; runs go in the queue default, without limits"))


@queues.command("pause")
@click.argument("queue", shell_complete=completing.queues)
@formatted
@connected
def pause(backend: Backend, *, queue: str, form: str | None) -> None:
    """Let no further run of QUEUE start; those that run go on."""
    output.show_item(backend.pause_queue(queue, paused=True), form=form, text=partial("{0[name]} paused".format))


@queues.command("resume")
@click.argument("queue", shell_complete=completing.queues)
@formatted
@connected
def resume(backend: Backend, *, queue: str, form: str | None) -> None:
    """Let the runs of QUEUE start again."""
    output.show_item(backend.pause_queue(queue, paused=False), form=form, text=partial("{0[name]} resumed".format))
