"""Waiting for the end of runs, and showing how it goes on: a bar on a terminal, a line a change anywhere else."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Final, Protocol, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from tidegate_api.names import TERMINAL_PHASES, Phase
from tidegate_api.run_json import RunJson

from tidegate_cli.backends.base import Backend
from tidegate_cli.deadlines import Deadline
from tidegate_cli.errors import INTERRUPTED, TIMED_OUT, AwayError, CommandError
from tidegate_cli.output import console, phase_style
from tidegate_cli.signals import Terminated, unwinding
from tidegate_cli.times import one_line

_LEAST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 10.0


class Display(Protocol):
    """Where people see it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def seen(self, run: RunJson) -> None:
        """A run as it is now."""

    def away(self, name: str, why: str) -> None:
        """There is no answer; it is asked again."""


def display() -> Display:
    """The one that suits stderr."""
    out = console(stderr=True)
    return Bars() if out.is_terminal and not out.is_dumb_terminal else Lines()


def ended(run: RunJson) -> bool:
    return run["phase"] in TERMINAL_PHASES


def wait_for_end(
    backend: Backend, runs: Sequence[RunJson], *, seconds: float | None, show: Callable[[], Display] = display
) -> list[RunJson]:
    """Each of the runs as it ended. Raises CommandError with 124 when the time is over, 130 when the user interrupts, 128 and
    the signal's number for one that says to end."""
    deadline = Deadline(seconds)
    names = " ".join(run["name"] for run in runs)
    try:
        with unwinding(), show() as shown:
            return [_until_end(backend, run, deadline, shown) for run in runs]
    except KeyboardInterrupt:
        raise CommandError(f"interrupted; what was waited for goes on: tidegate wait {names}, or tidegate cancel {names}", code=INTERRUPTED) from None  # fmt: skip
    except Terminated as error:
        raise CommandError(
            f"{error.name}; what was waited for goes on: tidegate wait {names}", code=error.code
        ) from None


def _until_end(backend: Backend, run: RunJson, deadline: Deadline, shown: Display) -> RunJson:
    pause = _LEAST_SECONDS
    while True:
        begun = time.monotonic()
        try:
            for now in backend.changes(run, deadline):
                run, pause = now, _LEAST_SECONDS
                shown.seen(run)
                if ended(run):
                    return run
        except AwayError as error:
            shown.away(run["name"], str(error))
            pause = min(pause * 2, _MOST_SECONDS)
        if deadline.past:
            raise CommandError(f"{run['name']} is {run['phase']} and hasn't ended in time; it goes on", code=TIMED_OUT)
        # A stream that lasted is opened again at once.
        if time.monotonic() - begun < pause:
            time.sleep(deadline.at_most(pause))


def summary(run: RunJson) -> str:
    """Where a run is, in a few words."""
    parts = [run["phase"]]
    if run.get("reason") and run["reason"] != run["phase"]:
        parts.append(f"({run['reason']})")
    if run["attempt"] > 1:
        parts.append(f"attempt {run['attempt']}")
    if run.get("progress") is not None and not ended(run):
        parts.append(f"{run['progress']:.0%}")
    said = run["message"] if ended(run) or run["phase"] == Phase.PENDING else run.get("progressMessage")
    if said:
        parts.append(one_line(said))
    return " ".join(parts)


class Lines:
    """For pipes and logs: each change once, with the time."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._out = console(stderr=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def seen(self, run: RunJson) -> None:
        self._say(run["name"], summary(run))

    def away(self, name: str, why: str) -> None:
        self._say(name, f"{why} Trying again.")

    def _say(self, name: str, text: str) -> None:
        if self._last.get(name) != text:
            self._last[name] = text
            self._out.print(f"{datetime.now().astimezone():%H:%M:%S} {name} {text}")


class Bars:
    """For terminals: a bar a run, which pulses while no progress is known."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30, complete_style="cyan", finished_style="green", pulse_style="cyan"),
            TextColumn("{task.fields[phase]}", style=""),
            TextColumn("{task.fields[said]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        try:
            self._progress.start()
        except BaseException:  # interrupted with the cursor hidden already
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a terminal that has hung up
            self._progress.stop()

    def seen(self, run: RunJson) -> None:
        style = phase_style(run["phase"])
        phase = f"[{style}]{run['phase']}[/]" if style else run["phase"]
        over = ended(run)
        share = 1.0 if run["phase"] == Phase.SUCCEEDED else run.get("progress")
        self._update(
            run["name"], phase=phase, said=summary(run).removeprefix(run["phase"]).strip(), share=share, over=over
        )

    def away(self, name: str, why: str) -> None:
        self._update(name, phase="…", said=one_line(why), share=None, over=False)

    def _update(self, name: str, *, phase: str, said: str, share: float | None, over: bool) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, phase=phase, said=said)
        total = 1.0 if share is not None or over else None
        self._progress.update(self._tasks[name], total=total, completed=share or 0, phase=phase, said=said)
        if over:
            self._progress.stop_task(self._tasks[name])
