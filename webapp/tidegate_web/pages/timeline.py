"""A run's time to scale: what it waited for, each attempt with its start and its back-off, and the runs that it started. Pure.

Lengths are percentages of the window that is shown, so that the SVG needs no script and no inline style.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tidegate_web.pages import formatting
from tidegate_web.runs.run_tree import RunTree
from tidegate_web.shared.json_types import as_text, whole_number
from tidegate_web.shared.problems import invalid
from tidegate_web.shared.times import parse_time, rfc3339
from tidegate_web.store.run_rows import RunSummaryRow

MOST_CHILDREN: Final = 50
"""Rows of runs that it started; the list beside has the others."""

LEAST_SECONDS: Final = 0.001
"""Of a window: what takes less has no length."""

TICKS: Final = 5
"""At most so many marks beside the first."""

_STEPS: Final = (
    *(mantissa * 10.0**power for power in range(-4, 2) for mantissa in (1, 2, 5)),
    *(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12)),
)
_DAY: Final = 86_400.0
_START_TONES: Final = {"Scheduling": "scheduling", "Pulling and starting": "starting"}


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of time, in seconds after the run was created."""

    name: str
    tone: str
    begin: float
    end: float
    ongoing: bool = False
    """Whether it goes on."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class Row:
    """What stands in one line."""

    key: str
    label: str
    spans: list[Span]
    run: str | None = None
    """The run whose time it is, where it is another one."""

    @property
    def begin(self) -> float:
        """Of its first span."""
        return self.spans[0].begin

    @property
    def end(self) -> float:
        """Of its last span."""
        return self.spans[-1].end


@dataclass(frozen=True, kw_only=True)
class Window:
    """The part that is shown, in seconds after the run was created."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin

    def at(self, seconds: float) -> float:
        """Where a moment is, in percent of the window."""
        return round(100 * (min(max(seconds, self.begin), self.end) - self.begin) / self.seconds, 3)

    def width(self, span: Span) -> float:
        """How much of the window a span takes, in percent."""
        return round(self.at(span.end) - self.at(span.begin), 3)

    def shows(self, span: Span) -> bool:
        """Whether any of it is in the window. A moment is drawn too: with the least width."""
        return span.begin <= self.end and span.end >= self.begin

    def moved(self, share: float) -> "Window":
        """A window so much of its length later; below 0 earlier."""
        return Window(begin=self.begin + share * self.seconds, end=self.end + share * self.seconds)

    def zoomed(self, factor: float) -> "Window":
        """A window around the same middle, so many times as long."""
        middle, half = (self.begin + self.end) / 2, max(self.seconds * factor, LEAST_SECONDS) / 2
        return Window(begin=middle - half, end=middle + half)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What is drawn."""

    created: datetime
    rows: list[Row]
    whole: Window
    window: Window
    ticks: list[float]
    """Marks, in seconds after the creation."""
    ongoing: bool
    """Whether any of it goes on."""
    children_left_out: int

    @property
    def is_whole(self) -> bool:
        """Whether all of it is shown."""
        return self.window == self.whole

    @property
    def legend(self) -> list[tuple[str, str]]:
        """What the colours say: each name with its tone, as they come."""
        return list(dict.fromkeys((span.name, span.tone) for row in self.rows for span in row.spans))

    def moment(self, seconds: float) -> datetime:
        """A moment on the clock."""
        return self.created + timedelta(seconds=seconds)

    def within(self, window: Window) -> Window:
        """A window moved and cut to where there is something."""
        length = min(window.seconds, self.whole.seconds)
        begin = min(max(window.begin, self.whole.begin), self.whole.end - length)
        return Window(begin=begin, end=begin + length)

    def around(self, row: Row) -> Window:
        """A window for one row, with a little of what is beside it."""
        margin = max(row.end - row.begin, LEAST_SECONDS) / 20
        return self.within(Window(begin=row.begin - margin, end=row.end + margin))


def timeline(
    run: RunSummaryRow,
    attempts: Sequence[Mapping[str, object]],
    children: RunTree,
    *,
    now: datetime,
    shown: tuple[float, float] | None = None,
) -> Timeline:
    """The timeline of a run. ``attempts``: as the API lists them. ``shown``: the window, in seconds after the creation; one that is
    empty or outside is the whole."""
    length = max(_seconds(run.created, run.finished_at or now) or 0.0, LEAST_SECONDS)
    clock = _Clock(created=run.created, length=length)
    rows = _own_rows(run, attempts, clock, ended=run.finished_at is not None)
    others = sorted(children.all(), key=lambda child: (child.created, child.uid))
    rows += [_child_row(child, since=run.created, now=now) for child in others[:MOST_CHILDREN]]
    whole = Window(begin=0.0, end=max([length, *(row.end for row in rows)]))
    window = whole
    if shown is not None and shown[0] < shown[1] and shown[1] > 0 and shown[0] < whole.end:
        begin, end = max(shown[0], 0.0), min(shown[1], whole.end)
        window = Window(begin=begin, end=max(end, begin + LEAST_SECONDS))
    return Timeline(
        created=run.created,
        rows=rows,
        whole=whole,
        window=window,
        ticks=_ticks(window),
        ongoing=any(span.ongoing for row in rows for span in row.spans),
        children_left_out=max(0, len(others) - MOST_CHILDREN),
    )


@dataclass(frozen=True)
class _Clock:
    """Times as seconds after the run was created, within its time: clocks of nodes differ, and a status may say anything."""

    created: datetime
    length: float

    def at(self, value: datetime | None) -> float | None:
        seconds = _seconds(self.created, value)
        return None if seconds is None else min(max(seconds, 0.0), self.length)


def _own_rows(run: RunSummaryRow, attempts: Sequence[Mapping[str, object]], clock: _Clock, *, ended: bool) -> list[Row]:
    queued = clock.at(run.queued_at)
    rows: list[Row] = []
    free = 0.0  # from when on nothing of it ran
    for attempt in attempts:
        number = whole_number(attempt.get("number")) or 0
        spans = _attempt_spans(attempt, clock, free=free, ended=ended)
        begin = spans[0].begin
        if number == 1 or not rows:
            rows += _waiting(begin, queued=queued, ongoing=False)
        elif begin > free:
            spans.insert(0, Span(name="Back-off and waiting", tone="retrying", begin=free, end=begin))
        free = max(free, spans[-1].end)
        rows.append(Row(key=f"attempt-{number}", label=f"Attempt {number}", spans=spans))
    if not rows:
        rows += _waiting(clock.length, queued=queued, ongoing=not ended)
    elif not ended and run.phase in ("Retrying", "Pending") and free < clock.length:
        waits = Span(name="Back-off and waiting", tone="retrying", begin=free, end=clock.length, ongoing=True)
        rows.append(Row(key="next", label="Next attempt", spans=[waits]))
    return rows


def _waiting(end: float, *, queued: float | None, ongoing: bool) -> list[Row]:
    """From creation to the first attempt: what held it, then its queue."""
    # A retry is queued again: then the time of the first time is not known any more.
    known = queued is not None and queued <= end
    held = queued if known and queued is not None else (end if ongoing and queued is None else 0.0)
    spans = []
    if held > 0:
        spans.append(Span(name="Not queued yet", tone="muted", begin=0.0, end=held, ongoing=ongoing and held == end))
    if held < end:
        spans.append(Span(name="Queued", tone="waiting", begin=held, end=end, ongoing=ongoing))
    return [Row(key="waiting", label="Waiting", spans=spans)] if spans else []


def _attempt_spans(attempt: Mapping[str, object], clock: _Clock, *, free: float, ended: bool) -> list[Span]:
    """Of one attempt, at least one: its Job's pod without a node, the pod on its node, the container."""
    created, scheduled, started, finished = (
        clock.at(parse_time(attempt.get(name))) for name in ("createdAt", "scheduledAt", "startedAt", "finishedAt")
    )
    outcome = as_text(attempt.get("outcome"))
    over = outcome is not None or ended
    state = outcome or ("Cancelled" if ended else "Starting" if started is None else "Running")
    begin = max([free, *[at for at in (created, scheduled, started) if at is not None][:1]])
    # Without an outcome it lasts as long as its run.
    end = max(begin, finished or started or begin) if outcome is not None else clock.length
    steps = [("Scheduling", created), ("Pulling and starting", scheduled), (state, started)]
    known = [(name, at) for name, at in steps if at is not None]
    if started is None and (over or not known):
        known.append((state, end if over else begin))
    spans: list[Span] = []
    for index, (name, _) in enumerate(known):
        at, last = spans[-1].end if spans else begin, index + 1 == len(known)
        until = end if last else min(max(known[index + 1][1], at), end)
        tone = _START_TONES.get(name) or formatting.tone(state)
        spans.append(Span(name=name, tone=tone, begin=at, end=until, ongoing=last and not over))
    return spans


def _child_row(child: RunSummaryRow, *, since: datetime, now: datetime) -> Row:
    begin = max(0.0, _seconds(since, child.created) or 0.0)
    over = child.finished_at is not None
    end = max(begin, _seconds(since, child.finished_at or now) or 0.0)
    started = _seconds(since, child.started_at)
    at = end if started is None else min(max(started, begin), end)
    spans = []
    if at > begin:
        spans.append(Span(name="Queued", tone="waiting", begin=begin, end=at, ongoing=not over and started is None))
    if started is not None or over or not spans:
        spans.append(Span(name=child.phase, tone=formatting.tone(child.phase), begin=at, end=end, ongoing=not over))
    return Row(key=f"child-{child.uid}", label=child.name, spans=spans, run=child.uid)


def _seconds(since: datetime, at: datetime | None) -> float | None:
    return None if at is None else (at - since).total_seconds()


def _ticks(window: Window) -> list[float]:
    """Round moments in the window."""
    step = next((step for step in _STEPS if window.seconds / step <= TICKS), None)
    if step is None:
        step = _DAY * math.ceil(window.seconds / TICKS / _DAY)
    first = math.ceil(window.begin / step)
    return [round(number * step, 4) for number in range(first, math.floor(window.end / step) + 1)]


def window_of(arguments: Mapping[str, str]) -> tuple[float, float] | None:
    """The window that an address asks for with ``from`` and ``to``; None without them. Raises Problem 422."""
    if "from" not in arguments and "to" not in arguments:
        return None
    return _number(arguments, "from", 0.0), _number(arguments, "to", math.inf)


def _number(arguments: Mapping[str, str], name: str, default: float) -> float:
    if name not in arguments:
        return default
    try:
        found = float(arguments[name])
    except ValueError:
        found = math.nan
    if math.isnan(found):
        raise invalid(name, "must be a number of seconds after the run was created")
    return found


def offset(seconds: float) -> str:
    """A moment after the creation, as exact as its mark: ``0``, ``0.25 s``, ``3 m 20 s``."""
    if seconds < 60:
        return f"{seconds:.4f}".rstrip("0").rstrip(".") + (" s" if seconds else "")
    return formatting.duration(seconds)


def exact(time: datetime) -> str:
    """A time with its milliseconds, for the script that lets the bars grow."""
    return rfc3339(time)


def lasted(seconds: float) -> str:
    """A length: milliseconds below a second, as pools have them."""
    return f"{round(seconds * 1000)} ms" if seconds < 1 else formatting.duration(seconds)
