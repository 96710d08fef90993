"""`suspend`, `resume` and `pause`: commands that change one thing of what is named, and say that it is done."""

from collections.abc import Callable, Mapping

import click

from tidegate_cli import output
from tidegate_cli.backends.base import Backend
from tidegate_cli.completing import Completion
from tidegate_cli.options import connected, formatted


def switch_command(
    name: str,
    *,
    noun: str,
    complete: Completion,
    change: Callable[[Backend, str], Mapping[str, object]],
    done: str,
    text: str,
    many: bool = False,
) -> click.Command:
    """The command. ``change`` answers with the object as it is then; ``many``: whether several may be named."""

    @click.command(name, help=text)
    @click.argument(
        "names",
        metavar=f"{noun}..." if many else noun,
        nargs=-1 if many else 1,
        required=True,
        shell_complete=complete,
    )
    @formatted
    @connected
    def switch(backend: Backend, *, names: str | tuple[str, ...], form: str | None) -> None:
        for each in (names,) if isinstance(names, str) else names:
            output.show_item(change(backend, each), form=form, text=lambda item: f"{item['name']} {done}")

    return switch
