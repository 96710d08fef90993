"""Names that a shell completes: of runs, Tasks, Queues and Schedules, asked of the way that the line so far leads to.

A user who presses Tab waits for it, and what is wrong is reported when the command is run: so it is asked for a second at most, what has
come by then is offered, and a failure offers nothing, without a word.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

import click

from tidegate_cli.backends import choosing
from tidegate_cli.backends.base import POOLS, QUEUES, SCHEDULES, TASKS, Backend, Kind
from tidegate_cli.options import asked_by

SECONDS: Final = 1.0
"""For all that is asked; to start the command itself comes on top."""
MOST: Final = 200
"""Names that are offered."""

Ask = Callable[[Backend, str], Iterator[str]]
"""Of a way to Tidegate, names that begin so; others among them do no harm."""
Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(ask: Ask) -> Completion:
    def complete(context: click.Context, parameter: click.Parameter, beginning: str) -> list[str]:
        given = context.params.get(parameter.name or "")
        taken = given if isinstance(given, list | tuple) else ()
        found = _in_time(lambda connect: ask(connect(), beginning), context)
        return [name for name in found if name.startswith(beginning) and name not in taken][:MOST]

    return complete


def _in_time(names: Callable[[Callable[[], Backend]], Iterator[str]], context: click.Context) -> list[str]:
    found: list[str] = []

    def collect(connect: Callable[[], Backend]) -> None:
        try:
            for name in names(connect):
                found.append(name)  # noqa: PERF402 - piece by piece, as it is read while more comes
        except Exception:
            return

    # A plugin that gets credentials may want to talk: the terminal belongs to the line that is being written.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 2)
    try:
        connect = choosing.chosen(asked_by(context.params), os.environ)
    except Exception:
        return []
    asking = threading.Thread(target=collect, args=(connect,), daemon=True)
    asking.start()
    asking.join(SECONDS)
    return list(dict.fromkeys(found))


def _definitions(kind: Kind) -> Ask:
    return lambda backend, _: (each["name"] for each in backend.list_definitions(kind))


runs: Final = _completion(lambda backend, beginning: backend.run_names(beginning, active=False))
active_runs: Final = _completion(lambda backend, beginning: backend.run_names(beginning, active=True))
tasks: Final = _completion(_definitions(TASKS))
queues: Final = _completion(_definitions(QUEUES))
schedules: Final = _completion(_definitions(SCHEDULES))
pools: Final = _completion(_definitions(POOLS))
