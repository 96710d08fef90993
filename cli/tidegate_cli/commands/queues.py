"""Queues: listed, paused, resumed."""

from collections.abc import Sequence
from typing import Final

import click
from tidegate_api.run_json import Definition

from tidegate_cli import completing, output
from tidegate_cli.backends.base import QUEUES
from tidegate_cli.commands.listing import list_command
from tidegate_cli.commands.switching import switch_command
from tidegate_cli.output import Column


def _rate(queue: Definition) -> str:
    rate = queue["spec"].get("rateLimit")
    return f"{rate['runs']} in {rate['perSeconds']}s" if rate else ""


COLUMNS: Final[Sequence[Column[Definition]]] = (
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


queues.add_command(
    switch_command(
        "pause",
        noun="QUEUE",
        complete=completing.queues,
        change=lambda backend, name: backend.pause_queue(name, paused=True),
        done="paused",
        text="Let no further run of QUEUE start; those that run go on.",
    )
)
queues.add_command(
    switch_command(
        "resume",
        noun="QUEUE",
        complete=completing.queues,
        change=lambda backend, name: backend.pause_queue(name, paused=False),
        done="resumed",
        text="Let the runs of QUEUE start again.",
    )
)
