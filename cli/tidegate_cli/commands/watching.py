"""What `run --watch`, `replay --watch` and `wait` have in common: they end as the runs did."""

from collections.abc import Sequence
from functools import partial

import click
from tidegate_api.names import Phase
from tidegate_api.run_json import RunJson

from tidegate_cli import output, run_watch
from tidegate_cli.backends.base import Backend
from tidegate_cli.deadlines import Duration
from tidegate_cli.errors import NOT_SUCCEEDED, SUCCEEDED

watch_option = click.option("-w", "--watch", is_flag=True, help="Wait for its end; the exit code is the run's.")
timeout_option = click.option(
    "--timeout",
    type=Duration(),
    metavar="DURATION",
    help="Wait so long at most, such as 90s or 1h30m; then exit with 124.",
)


def wait_and_report(backend: Backend, runs: Sequence[RunJson], *, seconds: float | None, form: str | None) -> int:
    """Wait for the runs, report how they ended, and return the exit code that says so."""
    done = run_watch.wait_for_end(backend, runs, seconds=seconds)
    if len(done) == 1 or form is None:
        for run in done:
            output.show_item(run, form=form, text=end_line)
    else:
        output.show_list(done, (), form=form, none="")
    return SUCCEEDED if all(run["phase"] == Phase.SUCCEEDED for run in done) else NOT_SUCCEEDED


def end_line(run: RunJson) -> str:
    """How a run ended, in a line."""
    took = output.took(run)
    return f"{run['name']} {run_watch.summary(run)}" + (f" after {took}" if took else "")


def report_created(backend: Backend, run: RunJson, *, watch: bool, timeout: float | None, form: str | None) -> int:
    """A run that was just made, waited for if that was asked for."""
    if watch:
        output.say(f"{run['name']} created")
        return wait_and_report(backend, [run], seconds=timeout, form=form)
    output.show_item(run, form=form, text=partial("{0[name]} created".format))
    return SUCCEEDED


def check_timeout(watch: bool, timeout: float | None) -> None:
    """A time to wait without waiting is a mistake."""
    if timeout is not None and not watch:
        raise click.UsageError("--timeout is how long --watch waits: add --watch", ctx=click.get_current_context())
