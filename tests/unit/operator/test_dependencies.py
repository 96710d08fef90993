"""policies/dependencies: whether the runs that a run depends on let it go."""

from typing import Any

import pytest
from support.records import NOW, a_run_record
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.policies.dependencies import Verdict, judge_dependencies
from tidegate_operator.records.run import RunRecord


class Namespace:
    """Runs by name."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}

    def add(self, name: str, *depends_on: str, phase: Phase = Phase.PENDING, **fields: Any) -> RunRecord:
        """A run; `name?` depends on its end only."""
        needs = tuple((d.rstrip("?"), not d.endswith("?")) for d in depends_on)
        run = a_run_record(uid=name, name=name, phase=phase, depends_on=needs, **fields)
        self.runs[name] = run
        return run

    def judge(self, name: str, *, now: float = NOW) -> Verdict:
        """The verdict on a run."""
        wanted = any(name in {d for d, _ in r.depends_on} for r in self.runs.values() if not r.status.phase.terminal)
        return judge_dependencies(self.runs[name], self.runs.get, has_dependents=wanted, now=now)


def done(phase: Phase = Phase.SUCCEEDED, *, at: float = NOW - 5) -> dict[str, Any]:
    return {"phase": phase, "finished_at": format_time(at)}


def test_all_have_to_succeed_and_the_last_end_counts() -> None:
    space = Namespace()
    space.add("a", **done(at=NOW - 9))
    space.add("b", **done(at=NOW - 3))
    space.add("down", "a", "b")
    verdict = space.judge("down")
    assert (verdict.waits, verdict.ended, verdict.since) == (None, None, NOW - 3)


def test_one_that_goes_on_or_is_not_there_yet_is_waited_for_by_name() -> None:
    space = Namespace()
    space.add("a")
    space.add("down", "a", "later", created=NOW - 100)
    verdict = space.judge("down")
    assert verdict.waits is not None
    assert verdict.waits.message == "waits for run a, later (not there yet)"
    assert verdict.wake_at == NOW - 100 + 3600


def test_one_that_can_no_longer_succeed_ends_its_dependents_at_once() -> None:
    space = Namespace()
    space.add("a", **done(Phase.FAILED), reason="Error")
    space.add("b")
    space.add("down", "b", "a")
    ended = space.judge("down").ended
    assert ended is not None
    assert (ended.reason, ended.message) == ("DependencyFailed", "run a ended as Failed/Error and had to succeed")


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED, Phase.SKIPPED, Phase.SUCCEEDED])
def test_when_finished_asks_for_the_end_alone(phase: Phase) -> None:
    space = Namespace()
    space.add("a", **done(phase))
    space.add("down", "a?")
    assert space.judge("down").since == NOW - 5


def test_one_still_missing_after_the_timeout_is_given_up_by_name() -> None:
    space = Namespace()
    run = space.add("down", "ghost", created=NOW - 3600)
    ended = space.judge("down").ended
    assert ended is not None
    assert "run ghost was not there within 3600 s" in ended.message
    run.dependency_timeout = 0
    verdict = space.judge("down")
    assert (verdict.ended, verdict.wake_at) == (None, None)


def test_a_run_that_depends_on_itself_is_a_cycle() -> None:
    space = Namespace()
    space.add("me", "me")
    ended = space.judge("me").ended
    assert ended is not None
    assert (ended.reason, "me → me" in ended.message) == ("DependencyCycle", True)


def test_every_member_of_a_cycle_learns_of_it_and_others_are_skipped() -> None:
    space = Namespace()
    for name, needs in (("a", "b"), ("b", "c"), ("outside", "a"), ("c", "a")):
        space.add(name, needs)
    for name in ("c", "b", "a"):
        verdict = space.judge(name)
        assert verdict.ended is not None
        assert verdict.ended.reason == "DependencyCycle", name
        space.add(name, space.runs[name].depends_on[0][0], **done(Phase.FAILED), reason="DependencyCycle")
    skipped = space.judge("outside").ended
    assert skipped is not None
    assert skipped.reason == "DependencyFailed"


def test_a_long_chain_costs_no_walk_along_it() -> None:
    space = Namespace()
    space.add("r0")
    for i in range(1, 5000):
        space.add(f"r{i}", f"r{i - 1}")
        looked_up: list[str] = []

        def find(name: str, seen: list[str] = looked_up) -> RunRecord | None:
            seen.append(name)
            return space.runs.get(name)

        judge_dependencies(space.runs[f"r{i}"], find, has_dependents=False, now=NOW)
        assert len(looked_up) == 1


def test_an_end_without_a_reason_is_described_by_its_phase() -> None:
    space = Namespace()
    space.add("a", **done(Phase.CANCELLED))
    space.add("down", "a")
    ended = space.judge("down").ended
    assert ended is not None
    assert ended.message == "run a ended as Cancelled and had to succeed"


def test_the_way_back_is_found_behind_runs_that_are_missing_or_met_twice() -> None:
    space = Namespace()
    # `left` and `right` both need `shared`; only what comes after them leads back.
    space.add("shared")
    space.add("left", "shared", "ghost")
    space.add("right", "shared")
    space.add("back", "new")
    space.add("new", "back", "left", "right", "ghost")
    ended = space.judge("new").ended
    assert ended is not None
    assert ended.message == "dependsOn leads back to this run: new → back → new"


def test_a_way_that_leads_over_a_run_which_has_ended_is_no_cycle() -> None:
    space = Namespace()
    space.add("over", "new?", **done())
    space.add("new", "over")
    space.add("next", "new")
    assert space.judge("new") == Verdict(since=NOW - 5)


def test_a_member_of_a_cycle_learns_of_it_whatever_else_it_depends_on() -> None:
    space = Namespace()
    space.add("me", "member", "fine", reason="WaitingForDependencies")
    space.add("member", "me", **done(Phase.FAILED), reason="DependencyCycle")
    space.add("fine", **done())
    ended = space.judge("me").ended
    assert ended is not None
    assert ended.reason == "DependencyCycle"


def test_a_run_that_waits_already_costs_one_look_a_dependency() -> None:
    space = Namespace()
    space.add("first")
    space.add("up", "first", **done())
    space.add("me", "up", reason="WaitingForDependencies")
    looked_up: list[str] = []

    def find(name: str) -> RunRecord | None:
        looked_up.append(name)
        return space.runs.get(name)

    judge_dependencies(space.runs["me"], find, has_dependents=True, now=NOW)
    assert looked_up == ["up"]


@pytest.mark.parametrize(("count", "words"), [(3, "d0, d1, d2"), (5, "d0, d1, d2 and 2 more"), (1, "d0")])
def test_of_many_dependencies_three_are_named(count: int, words: str) -> None:
    space = Namespace()
    names = [f"d{number}" for number in range(count)]
    for name in names:
        space.add(name)
    space.add("down", *names)
    waits = space.judge("down").waits
    assert waits is not None
    assert waits.message == f"waits for run {words}"
