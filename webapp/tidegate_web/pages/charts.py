"""Charts as shapes, which the templates draw as SVG. Pure: no script is needed to see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 960.0
HEIGHT: Final = 150.0
STACK: Final = ("Succeeded", "Cancelled", "Skipped", "Expired", "Failed")
"""Phases from the bottom up."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a stack."""

    x: float
    y: float
    width: float
    height: float
    phase: str


def stacks(counts: Sequence[dict[str, int]]) -> list[Bar]:
    """A stack for each count, all to one scale."""
    most = max((sum(each.values()) for each in counts), default=0)
    if not most:
        return []
    step = WIDTH / len(counts)
    gap = min(2.0, step / 5)
    found = []
    for index, each in enumerate(counts):
        y = HEIGHT
        for phase in STACK:
            height = each.get(phase, 0) / most * HEIGHT
            if height:
                y -= height
                found.append(
                    Bar(round(index * step + gap / 2, 2), round(y, 2), round(step - gap, 2), round(height, 2), phase)
                )
    return found


def outlines(bars: Sequence[Bar]) -> dict[str, str]:
    """For each phase the data of one path that has all its bars: hundreds of elements less for the page and the browser."""
    found: dict[str, list[str]] = {}
    for bar in bars:
        found.setdefault(bar.phase, []).append(f"M{bar.x} {bar.y}h{bar.width}v{bar.height}h-{bar.width}z")
    return {phase: "".join(parts) for phase, parts in found.items()}


ACTIVE_STACK: Final = ("Running", "Starting", "Retrying", "Pending")
"""Phases of runs that have not ended, in a bar of all runs: after those that have."""


def shares(counts: Mapping[str, int]) -> list[Bar]:
    """One bar of a hundred parts, with a piece for each phase, in the order of ``STACK``."""
    total, x, found = sum(counts.values()), 0.0, []
    for phase in (*STACK, *ACTIVE_STACK):
        width = 100 * counts.get(phase, 0) / total if total else 0.0
        if width:
            found.append(Bar(round(x, 2), 0.0, round(width, 2), 8.0, phase))
        x += width
    return found


def line(values: Sequence[float | None], *, most: float) -> str:
    """The points of lines through the values, as the data of a path; what is missing is left open."""
    if most <= 0 or not values:
        return ""
    step = WIDTH / len(values)
    parts, down = [], False
    for index, value in enumerate(values):
        if value is None:
            down = False
            continue
        x, y = index * step + step / 2, HEIGHT - value / most * HEIGHT
        # A value between two that are missing shows as a dot.
        parts.append(f"{'L' if down else 'M'}{x:.1f} {y:.1f}" + ("" if down else "h.1"))
        down = True
    return "".join(parts)


def spark(values: Sequence[int], *, width: float = 96.0, height: float = 20.0) -> list[Bar]:
    """Small bars."""
    most, step = max(values, default=0), width / max(1, len(values))
    return [
        Bar(
            round(index * step, 2),
            round(height - value / most * height, 2),
            round(step * 0.8, 2),
            round(value / most * height, 2),
            "",
        )
        for index, value in enumerate(values)
        if value
    ]
