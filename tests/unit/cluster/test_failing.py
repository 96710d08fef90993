"""A start that fails leaves its logs, and nothing else."""

from pathlib import Path

import pytest
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.failing import undone_on_failure


def start(steps: list[str], error: BaseException | None) -> None:
    def keep_logs() -> Path:
        steps.append("logs kept")
        return Path("/kept")

    with undone_on_failure(keep_logs=keep_logs, down=lambda: steps.append("down")):
        steps.append("started")
        if error is not None:
            raise error


def test_what_starts_well_stays() -> None:
    steps: list[str] = []
    start(steps, None)
    assert steps == ["started"]


def test_a_failure_takes_everything_down_once_the_logs_are_kept_and_says_where() -> None:
    steps: list[str] = []
    with pytest.raises(ClusterError, match=r"no kubelet \(logs: /kept\)"):
        start(steps, ClusterError("no kubelet"))
    assert steps == ["started", "logs kept", "down"]


def test_an_interruption_takes_everything_down_and_goes_on() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        start(steps, KeyboardInterrupt())
    assert steps == ["started", "logs kept", "down"]
