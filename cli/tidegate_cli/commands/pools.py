"""WorkerPools: listed and shown."""

from collections.abc import Sequence
from typing import Final, cast

import click
from tidegate_api.bodies import WorkerPoolStatusBody
from tidegate_api.run_json import Definition

from tidegate_cli import completing, output
from tidegate_cli.backends.base import POOLS, Backend
from tidegate_cli.commands.listing import list_command
from tidegate_cli.options import connected, formatted
from tidegate_cli.output import Column


def _status(pool: Definition) -> WorkerPoolStatusBody:
    return cast("WorkerPoolStatusBody", pool["status"])


def _why(pool: Definition) -> str:
    """Why it isn't ready."""
    for condition in _status(pool).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ""


def _workers(pool: Definition) -> str:
    return f"{_status(pool).get('readyReplicas', 0)}/{pool['spec'].get('replicas', 1)}"


COLUMNS: Final[Sequence[Column[Definition]]] = (
    Column(head="NAME", cell=lambda pool: pool["name"]),
    Column(head="READY", cell=_workers),
    Column(head="SLOTS", cell=lambda pool: str(_status(pool).get("slots", 0))),
    Column(head="BUSY", cell=lambda pool: str(_status(pool).get("busy", 0))),
    Column(head="WAITING", cell=lambda pool: str(_status(pool).get("waiting", 0))),
    Column(head="IMAGE", cell=lambda pool: pool["spec"].get("image")),
    Column(head="AGE", cell=lambda pool: output.age(pool["createdAt"])),
    Column(head="WHY NOT READY", cell=_why, wide=True),
)


@click.group("pools")
def pools() -> None:
    """WorkerPools: warm workers that start a run within milliseconds."""


pools.add_command(list_command(POOLS, COLUMNS, hint="; a WorkerPool is made with kubectl apply"))


@pools.command("show")
@click.argument("pool", shell_complete=completing.pools)
@formatted
@connected
def show(backend: Backend, *, pool: str, form: str | None) -> None:
    """Show POOL: its workers, slots, and why none comes."""
    found = backend.get_definition(POOLS, pool)
    if form in ("json", "yaml"):
        output.show_data(found, form)
        return
    if form == "name":
        output.console().print(found["name"])
        return
    spec = found["spec"]
    rows = {
        "Name": found["name"],
        "Image": spec.get("image"),
        "Workers": f"{_workers(found)} ready",
        "Slots": f"{_status(found).get('slots', 0)} ({spec.get('slots', 4)} a worker)",
        "Busy": _status(found).get("busy", 0),
        "Waiting": _status(found).get("waiting", 0),
        "Imports": ", ".join(cast("list[str]", spec.get("preload") or [])) or None,
        "Not ready": _why(found) or None,
        "Age": output.age(found["createdAt"]),
    }
    for name, value in rows.items():
        if value is not None:
            output.console().print(f"{name + ':':<12}{value}")
