"""What goes to stdout: tables, names, JSON or YAML. Progress and errors go to stderr, so that this can be piped."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import yaml
from rich.console import Console
from rich.text import Text
from tidegate_api.names import Phase
from tidegate_api.run_json import ListedRun

from tidegate_cli.times import brief, one_line, parse

FORMS: Final = ("json", "yaml", "name", "wide")
_TIDY: Final = "\x1b[m\x1b[?25h"
"""The terminal's own colours, and its cursor."""
_STYLES: Final[Mapping[str, str]] = {
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
    Phase.EXPIRED: "red",
    Phase.CANCELLED: "yellow",
    Phase.SKIPPED: "yellow",
    Phase.RUNNING: "cyan",
    Phase.STARTING: "cyan",
    Phase.RETRYING: "magenta",
}


Item = TypeVar("Item", bound=Mapping[str, object])
"""What is shown: it has a name."""


@dataclass(frozen=True, kw_only=True)
class Column(Generic[Item]):
    """One column of a table."""

    head: str
    cell: Callable[[Item], object]
    wide: bool = False
    """Whether only `-o wide` has it."""


def console(*, stderr: bool = False) -> Console:
    """Without colours where there is no terminal or NO_COLOR is set; nothing is wrapped or guessed at."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def show_list(items: Sequence[Item], columns: Sequence[Column[Item]], *, form: str | None, none: str) -> None:
    """A list, in the form that was asked for; `none` is said to people when it is empty."""
    if form == "name":
        for item in items:
            console().print(item["name"])
    elif form in ("json", "yaml"):
        show_data({"items": list(items)}, form)
    elif not items:
        console(stderr=True).print(none)
    else:
        _table(items, [column for column in columns if form == "wide" or not column.wide])


def show_item(item: Item, *, form: str | None, text: Callable[[Item], str]) -> None:
    """One thing, in the form that was asked for."""
    if form == "name":
        console().print(item["name"])
    elif form in ("json", "yaml"):
        show_data(item, form)
    else:
        console().print(_with_phase(text(item)))


def show_data(data: object, form: str) -> None:
    """Anything, as JSON or YAML."""
    if form == "yaml":
        written = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).rstrip("\n")
    else:
        written = json.dumps(data, indent=2, ensure_ascii=False)
    console().out(written, highlight=False)


@contextmanager
def tidied() -> Iterator[None]:
    """For what others wrote, as it is: it may hide a terminal's cursor or leave its colour, also when it is cut off."""
    try:
        yield
    finally:
        out = console()
        if out.is_terminal and not out.is_dumb_terminal:
            with suppress(OSError):
                out.file.write(_TIDY)
                out.file.flush()


def say(text: str) -> None:
    """A line for people, on stderr."""
    console(stderr=True).print(one_line(text))


def age(text: str | None, *, now: datetime | None = None) -> str:
    """How long ago."""
    time = parse(text)
    return "" if time is None else brief((now or datetime.now(UTC)) - time)


def took(run: ListedRun, *, now: datetime | None = None) -> str:
    """From its start to its end, or to now."""
    start, end = parse(run["startedAt"]), parse(run["finishedAt"])
    return "" if start is None else brief((end or now or datetime.now(UTC)) - start)


def phase_style(phase: str) -> str:
    return _STYLES.get(phase, "")


def _with_phase(text: str) -> Text:
    made = Text(text)
    for phase in Phase:
        made.highlight_words([phase], phase_style(phase))
    return made


def _table(items: Sequence[Item], columns: Sequence[Column[Item]]) -> None:
    rows = [[one_line(column.cell(item) or "") for column in columns] for item in items]
    widths = [max(len(column.head), *(len(row[at]) for row in rows)) for at, column in enumerate(columns)]
    out = console()
    for row in [[column.head for column in columns], *rows]:
        line = Text()
        for at, cell in enumerate(row):
            last = at == len(row) - 1
            line.append(cell, style=phase_style(cell))
            line.append("" if last else " " * (widths[at] - len(cell) + 3))
        line.rstrip()
        out.print(line)
