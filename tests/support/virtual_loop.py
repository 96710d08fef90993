"""An asyncio loop whose time stands still until a test moves it, so that what runs on it is the same each time it runs."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

START: Final = 1_000_000.0
"""Early in 1970: at the present time a float distinguishes no less than a quarter of a microsecond, and timers need less."""

TICK: Final = 1e-6
MOST_ROUNDS: Final = 2_000


@dataclass
class VirtualClock:
    """The time of a test, in seconds since 1970."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class LocalClock:
    """The clock of one machine: so much ahead of the time of the test."""

    true: VirtualClock
    ahead: float = 0.0

    def __call__(self) -> float:
        return self.true.now + self.ahead


@dataclass
class Clocks:
    """The clocks of all machines, which may differ."""

    true: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.apiserver = LocalClock(self.true)
        """Of all of the control plane."""
        self.node = LocalClock(self.true)
        """Of the node on which pods of Jobs run."""
        self.workers = LocalClock(self.true)
        """Of the node on which workers of pools run."""
        self.replicas = (LocalClock(self.true), LocalClock(self.true))
        """Of the operator's, which lead in turn."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets. `run_until_idle` ends once nothing is left to do at the present moment."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self._clock_resolution = TICK
        self._selector = self
        self._rounds = 0
        self.failures: list[str] = []
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self._clock.now - START

    def run_until_idle(self) -> None:
        self._rounds = 0
        self.run_forever()

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due, in the clock's time."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        at = min((timer.when() for timer in timers if not timer.cancelled()), default=None)
        return START + at + TICK if at is not None else None

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop asks for events of files, of which there are none."""
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise AssertionError("the loop doesn't come to rest")
        if timeout is None or timeout > 0:
            self.stop()
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")
