"""`ls` of definitions: one command for each kind, with its own columns."""

from collections.abc import Sequence

import click
from tidegate_api.run_json import Definition

from tidegate_cli import output
from tidegate_cli.backends.base import Backend, Kind
from tidegate_cli.options import connected, formatted
from tidegate_cli.output import Column


def list_command(kind: Kind, columns: Sequence[Column[Definition]], *, hint: str = "") -> click.Command:
    """The command; ``hint`` is what people read beside that there are none."""

    @click.command("ls", help=f"List the {kind.name}s.")
    @formatted
    @connected
    def list_definitions(backend: Backend, *, form: str | None) -> None:
        none = f"no {kind.name}s in {backend.project}{hint}"
        output.show_list(backend.list_definitions(kind), columns, form=form, none=none)

    return list_definitions
