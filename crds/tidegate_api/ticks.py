"""Names of the runs of a Schedule, and when one may be deleted.

The operator makes these runs; it or the mirror deletes them. Were a run gone before `lastScheduleTime` has reached its tick,
an operator that died in between would make it again: so both go by the same rule.
"""


def run_name(schedule: str, tick: float) -> str:
    """Name of the run of a tick: the same for every creator, so that no second one is made."""
    return f"{schedule}-{int(tick // 60)}"


def tick_of(run: str, *, schedule: str) -> float | None:
    """The tick that a run of this name is for, in seconds since the epoch; None for one triggered by hand."""
    minutes = run.removeprefix(f"{schedule}-")
    return int(minutes) * 60.0 if minutes != run and minutes.isdecimal() and minutes.isascii() else None


def holds(run: str, *, schedule: str, counted_to: float) -> bool:
    """Whether a run must stay for now. `counted_to`: lastScheduleTime, before the first one the Schedule's creation."""
    tick = tick_of(run, schedule=schedule)
    return tick is not None and tick > counted_to
