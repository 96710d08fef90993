"""From what was seen to figures, and from figures to a table."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from tidegate_cluster.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of durations, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """The nearest ranks: no value that was not measured."""
        ordered = sorted(seconds)

        def rank(part: float) -> float:
            return round(1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1)

        return cls(rank(0.5), rank(0.95), rank(0.99))

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p95:.1f} / {self.p99:.1f}"


@dataclass(slots=True)
class Figures:
    """What was measured of one system."""

    drains: list[float] = field(default_factory=list)
    """Runs per second, a drain each."""
    to_end: dict[str, Quantiles] = field(default_factory=dict)
    """Creation answered to end seen, by rate."""
    to_job: dict[str, Quantiles] = field(default_factory=dict)
    """Creation answered to the Job's POST received, by rate."""
    requests: dict[str, dict[str, float]] = field(default_factory=dict)
    """A run, by load and then by verb and resource."""
    cpu_ms: list[float] = field(default_factory=list)
    """A run, a drain each."""
    rss_idle_mb: float | None = None
    rss_peak_mb: float | None = None

    @property
    def drain(self) -> float:
        """The median."""
        return statistics.median(self.drains)


@dataclass(frozen=True, slots=True)
class ProcessView:
    """What the kernel reports of a process."""

    pid: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def children(self) -> list[int]:
        """The processes that it has started."""
        found = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for file in found for pid in file.read_text(encoding="ascii").split()]

    def memory_mb(self, field_name: str) -> float:
        """VmRSS now, VmHWM at its highest."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field_name}:"):
                return round(int(line.split()[1]) / 1024, 1)
        raise ValueError(f"no {field_name}")


def requests_a_run(entries: Iterable[AuditEntry], *, runs: int) -> dict[str, float]:
    """Requests of one actor, the most frequent first."""
    return {what: round(count / runs, 2) for what, count in Counter(e.what for e in entries).most_common()}


def job_latency(entries: Iterable[AuditEntry], created: Mapping[str, float]) -> Quantiles:
    """From the answer to a run's creation to the moment the apiserver received the POST of its Job."""
    posted: dict[str, float] = {}
    for entry in entries:
        if entry.what == "create jobs":
            # RUN-DIGEST-ATTEMPT
            posted.setdefault(entry.name.rsplit("-", 2)[0], datetime.fromisoformat(entry.at).timestamp())
    return Quantiles.of(posted[name] - at for name, at in created.items())


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores shared by everything, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def as_json(plain: Figures, same: Figures, ours: Figures, waiting: Sequence[Any]) -> dict[str, Any]:
    """Everything, for other programs."""
    return {
        "machine": machine(),
        "plain_jobs": asdict(plain),
        "jobs_with_the_same_pods": asdict(same),
        "tidegate": asdict(ours),
        "drain_ratio": round(ours.drain / plain.drain, 2),
        "drain_ratio_same_pods": round(ours.drain / same.drain, 2),
        "waiting": [asdict(w) for w in waiting],
    }


def table(plain: Figures, same: Figures, ours: Figures, *, runs: int) -> str:
    """The figures side by side, as Markdown."""
    rows: list[Sequence[str]] = [("figure", "plain Jobs", "Tidegate", "ratio"), ("---", "---", "---", "---")]
    for beside, what in ((plain, ""), (same, ", Jobs with the same pods")):
        spread = [f"{f.drain:.1f} ({min(f.drains):.1f}–{max(f.drains):.1f})" for f in (beside, ours)]
        rows.append((f"drain of {runs}{what}, runs/s (spread)", *spread, f"{ours.drain / beside.drain:.2f}"))
    for rate, quantiles in ours.to_job.items():
        rows.append((f"create → POST of the Job at {rate}/s, ms p50 / p95 / p99", "–", str(quantiles), "–"))
    for rate, quantiles in ours.to_end.items():
        other = plain.to_end[rate]
        ratio = f"{quantiles.p50 / other.p50:.2f}"
        rows.append((f"create → end seen at {rate}/s, ms p50 / p95 / p99", str(other), str(quantiles), ratio))
    for load, counts in ours.requests.items():
        parts = ", ".join(f"{what} {count:.2f}" for what, count in counts.items())
        rows.append((f"requests a run, {load}", "–", f"{sum(counts.values()):.2f}: {parts}", "–"))
    rows.append(("CPU a run, ms", "–", f"{statistics.mean(ours.cpu_ms):.2f}", "–"))
    rows.append(("RSS idle → peak, MB", "–", f"{ours.rss_idle_mb} → {ours.rss_peak_mb}", "–"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
