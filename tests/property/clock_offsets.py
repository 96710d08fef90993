"""How far the clocks of a model are off, and by what they are put forward or back."""

from collections.abc import Mapping
from typing import Final

from hypothesis import strategies as st
from support.virtual_loop import Clocks, LocalClock

MOST_AHEAD: Final = 600.0
STEPS: Final = (-600.0, -60.0, -2.0, 2.0, 60.0, 600.0)
"""Seconds by which a clock is put forward or back."""
AHEAD: Final = st.none() | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("apiserver", "node", "workers", "replica 0", "replica 1"),
        st.integers(-int(MOST_AHEAD), int(MOST_AHEAD)).map(float),
    ),
)
"""How far the clocks are ahead of the test's own."""


def set_clocks(clocks: Clocks, ahead: Mapping[str, float]) -> None:
    """They have always differed so."""
    for whose, seconds in ahead.items():
        clock: LocalClock = clocks.replicas[int(whose[-1])] if whose.startswith("replica") else getattr(clocks, whose)
        clock.ahead = seconds / 2 if whose == "apiserver" else seconds
