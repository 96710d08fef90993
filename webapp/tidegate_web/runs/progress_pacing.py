"""How often the progress of a run is written: what comes sooner waits, and the newest of it is written in its turn.

Pure: given the time, it says what to write. A value that waits is completed by newer ones and never dropped.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate_web.auth.run_identity import RunIdentity


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressReport:
    """The progress that an attempt reported, and when."""

    identity: RunIdentity
    progress: float | None
    message: str | None
    at: datetime

    @property
    def key(self) -> tuple[str, int]:
        return self.identity.run_uid, self.identity.attempt

    def completed_by(self, newer: "ProgressReport") -> "ProgressReport":
        """A later word without a number or a message keeps the former one."""
        return replace(
            newer,
            progress=self.progress if newer.progress is None else newer.progress,
            message=self.message if newer.message is None else newer.message,
        )


@dataclass(kw_only=True)
class Pacing:
    """At most one write of an attempt in ``seconds``."""

    seconds: float
    _written: dict[tuple[str, int], float] = field(default_factory=dict)
    _waiting: dict[tuple[str, int], ProgressReport] = field(default_factory=dict)

    def take(self, report: ProgressReport, *, now: float) -> ProgressReport | None:
        """What to write at once; None when it has to wait for its turn."""
        waits = self._waiting.get(report.key)
        whole = report if waits is None else waits.completed_by(report)
        if now - self._written.get(report.key, float("-inf")) < self.seconds:
            self._waiting[report.key] = whole
            return None
        self._waiting.pop(report.key, None)
        self._written[report.key] = now
        return whole

    def due(self, *, now: float) -> list[ProgressReport]:
        """What has waited for its turn; with ``now`` infinite, everything."""
        ripe = [key for key in self._waiting if now - self._written.get(key, float("-inf")) >= self.seconds]
        found = [self._waiting.pop(key) for key in ripe]
        if now != float("inf"):
            self._written = {key: at for key, at in self._written.items() if now - at < self.seconds}
            self._written |= {report.key: now for report in found}
        return found

    def put_back(self, report: ProgressReport) -> None:
        """It could not be written: it waits again, unless something newer does."""
        newer = self._waiting.get(report.key)
        self._waiting[report.key] = report if newer is None else report.completed_by(newer)

    def next_turn(self) -> float | None:
        """When the first that waits may be written; None when nothing waits."""
        turns = [self._written.get(key, float("-inf")) + self.seconds for key in self._waiting]
        return min(turns, default=None)
