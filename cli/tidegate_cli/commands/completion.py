"""Completion in shells: the script that a shell sources."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from tidegate_cli.errors import CommandError

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print a script that completes commands, options and names in SHELL.

    In bash: source <(tidegate completion bash)
    """
    made = get_completion_class(shell)
    if made is None:
        raise CommandError(f"{shell} has no completion")
    click.echo(made(context.find_root().command, {}, "tidegate", "_TIDEGATE_COMPLETE").source())
