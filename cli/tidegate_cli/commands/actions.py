"""What is done with runs that are there: waited for, read, cancelled, held, released, replayed."""

import sys
from collections.abc import Sequence

import click
from tidegate_api.bodies import JsonObject

from tidegate_cli import completing, output
from tidegate_cli.backends.base import Backend
from tidegate_cli.commands.switching import switch_command
from tidegate_cli.commands.watching import check_timeout, report_created, timeout_option, wait_and_report, watch_option
from tidegate_cli.errors import INTERRUPTED, CommandError
from tidegate_cli.names import checked
from tidegate_cli.options import connected, formatted, with_payload
from tidegate_cli.signals import Terminated, unwinding


@click.command("wait")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=completing.active_runs)
@timeout_option
@formatted
@connected
def wait(backend: Backend, *, runs: Sequence[str], timeout: float | None, form: str | None) -> int:
    """Wait until each RUN has ended.

    Exit code 0 when all succeeded, 1 when one ended in another way, 124 when --timeout is over, 130 when you interrupt.
    """
    found = [backend.get_run(run) for run in runs]
    return wait_and_report(backend, found, seconds=timeout, form=form)


@click.command("logs")
@click.argument("run", shell_complete=completing.runs)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--attempt", type=click.IntRange(1), metavar="NUMBER", help="Of this attempt alone.")
@connected
def logs(backend: Backend, *, run: str, follow: bool, attempt: int | None) -> None:
    """Print what RUN wrote, attempt after attempt."""
    found = backend.get_run(run)
    try:
        with unwinding(), output.tidied():
            for piece in backend.logs(found, attempt=attempt, follow=follow):
                sys.stdout.write(piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        raise CommandError(f"interrupted; {found['name']} goes on", code=INTERRUPTED) from None
    except Terminated as error:
        raise CommandError(f"{error.name}; {found['name']} goes on", code=error.code) from None


@click.command("cancel")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=completing.active_runs)
@formatted
@connected
def cancel(backend: Backend, *, runs: Sequence[str], form: str | None) -> None:
    """Ask for the end of each RUN: its pod gets SIGTERM and its grace period."""
    for run in runs:
        asked = backend.cancel(backend.get_run(run))
        output.show_item(asked, form=form, text=lambda each: f"{each['name']} is to be cancelled")


suspend = switch_command(
    "suspend",
    noun="RUN",
    many=True,
    complete=completing.active_runs,
    change=lambda backend, name: backend.suspend_run(backend.get_run(name), suspend=True),
    done="suspended",
    text="Suspend each RUN: one that waits doesn't start, one that has started gets no further attempt.",
)
resume = switch_command(
    "resume",
    noun="RUN",
    many=True,
    complete=completing.active_runs,
    change=lambda backend, name: backend.suspend_run(backend.get_run(name), suspend=False),
    done="resumed",
    text="Release each RUN that is suspended; a step that waits for an approval has it.",
)


@click.command("replay")
@click.argument("run", shell_complete=completing.runs)
@with_payload
@click.option("--name", metavar="NAME", help="The new run's name.")
@watch_option
@timeout_option
@formatted
@connected
def replay(
    backend: Backend, *, run: str, payload: JsonObject | None, name: str | None, watch: bool, timeout: float | None,
    form: str | None,
) -> int:  # fmt: skip
    """Make a new run that does what RUN did, with another payload if one is given."""
    check_timeout(watch, timeout)
    made = backend.replay(backend.get_run(run), payload=payload, name=name and checked(name))
    return report_created(backend, made, watch=watch, timeout=timeout, form=form)
