"""How often progress is written: in its turn, the newest, and never not at all."""

from datetime import UTC, datetime

from tidegate_web.auth.run_identity import RunIdentity
from tidegate_web.runs.progress_pacing import Pacing, ProgressReport

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def reported(
    progress: float | None = None, message: str | None = None, *, run: str = "a", attempt: int = 1
) -> ProgressReport:
    identity = RunIdentity(project="p", run_uid=run, run_name=run, attempt=attempt, pod_name="pod", pod_uid="uid")
    return ProgressReport(identity=identity, progress=progress, message=message, at=AT)


def test_the_first_is_written_at_once_and_the_next_in_its_turn() -> None:
    pacing = Pacing(seconds=0.5)
    assert pacing.take(reported(0.1), now=10) == reported(0.1)
    assert pacing.next_turn() is None
    assert pacing.take(reported(0.2), now=10.1) is None
    assert pacing.take(reported(0.3), now=10.4) is None
    assert pacing.next_turn() == 10.5
    assert pacing.due(now=10.49) == []
    assert pacing.due(now=10.5) == [reported(0.3)]
    assert pacing.due(now=20) == []


def test_two_writes_a_second_whatever_comes() -> None:
    pacing = Pacing(seconds=0.5)
    written = 0
    for step in range(1000):
        now = step / 100
        written += pacing.take(reported(step / 1000), now=now) is not None
        written += len(pacing.due(now=now))
    assert written <= 21
    assert pacing.due(now=11) == [reported(0.999)]


def test_each_attempt_has_its_own_turn() -> None:
    pacing = Pacing(seconds=0.5)
    assert pacing.take(reported(0.9, attempt=1), now=1) is not None
    assert pacing.take(reported(0.1, attempt=2), now=1) is not None
    assert pacing.take(reported(0.1, run="b"), now=1) is not None


def test_what_waits_keeps_the_number_and_the_words_that_newer_ones_lack() -> None:
    pacing = Pacing(seconds=0.5)
    pacing.take(reported(0.1), now=1)
    pacing.take(reported(0.2, "loading"), now=1.1)
    pacing.take(reported(0.3), now=1.2)
    pacing.take(reported(message="storing"), now=1.3)
    assert pacing.due(now=2) == [reported(0.3, "storing")]


def test_one_that_comes_when_another_waits_past_its_turn_takes_it_along() -> None:
    pacing = Pacing(seconds=0.5)
    pacing.take(reported(0.1), now=1)
    pacing.take(reported(0.2, "loading"), now=1.1)
    assert pacing.take(reported(0.3), now=9) == reported(0.3, "loading")
    assert pacing.due(now=99) == []


def test_what_could_not_be_written_waits_again_unless_something_newer_does() -> None:
    pacing = Pacing(seconds=0.5)
    pacing.put_back(reported(0.1, "loading"))
    assert pacing.due(now=1) == [reported(0.1, "loading")]
    pacing.take(reported(0.2), now=1.1)
    pacing.put_back(reported(0.1, "loading"))
    assert pacing.due(now=2) == [reported(0.2, "loading")]


def test_the_end_takes_everything() -> None:
    pacing = Pacing(seconds=3600)
    pacing.take(reported(0.1), now=1)
    pacing.take(reported(0.2), now=2)
    assert pacing.due(now=float("inf")) == [reported(0.2)]
    assert pacing.next_turn() is None
