"""The tree of runs that a run has started."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tidegate_web.runs.run_tree import MOST, SLACK, Child, RunTree, run_tree_of

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def a_run(name: str, *, parent: str | None = None, at: int = 0, took: int | None = 60) -> Any:
    """A run that was created so many seconds after noon; without `took` it goes on."""
    created = NOON + timedelta(seconds=at)
    ended = None if took is None else created + timedelta(seconds=took)
    return SimpleNamespace(uid=f"{name}@{at}", name=name, parent_run=parent, created=created, finished_at=ended)


def tree(*runs: Any, of: Any, now: datetime = NOON + timedelta(hours=1)) -> RunTree:
    def ask(parents: Collection[str], since: datetime, until: datetime, limit: int) -> Sequence[Any]:
        fits = [run for run in runs if run.parent_run in parents and since <= run.created < until]
        return sorted(fits, key=lambda run: run.created)[:limit]

    return run_tree_of(of, ask, now=now)


def names(children: list[Child]) -> list[Any]:
    return [[child.run.name, *names(child.children)] for child in children]


def test_children_and_theirs_are_a_tree_in_the_order_of_their_making() -> None:
    album = a_run("album")
    family = tree(
        a_run("b", parent="album", at=2), a_run("a", parent="album", at=1), a_run("deep", parent="a", at=30), of=album
    )
    assert names(family.children) == [["a", ["deep"]], ["b"]]
    assert (family.count, family.truncated) == (3, False)


def test_a_run_that_started_none_has_an_empty_tree() -> None:
    assert tree(of=a_run("alone")) == RunTree(children=[])


def test_what_an_earlier_or_later_run_of_the_name_has_started_is_not_its_own() -> None:
    late = 60 + int(SLACK.total_seconds()) + 1
    others = [a_run("before", parent="album", at=-5), a_run("after", parent="album", at=late)]
    assert tree(*others, of=a_run("album")).children == []


def test_a_child_that_outlives_its_parent_has_all_that_it_starts() -> None:
    family = tree(
        a_run("long", parent="album", at=1, took=3000), a_run("late", parent="long", at=2900), of=a_run("album")
    )
    assert names(family.children) == [["long", ["late"]]]


def test_a_run_that_names_itself_is_not_its_own_child() -> None:
    album = a_run("album", parent="album")
    assert tree(album, of=album).children == []


def test_a_tree_is_looked_at_up_to_a_bound() -> None:
    family = tree(*(a_run(f"n{number}", parent="album", at=1) for number in range(MOST + 1)), of=a_run("album"))
    assert (family.count, family.truncated) == (MOST, True)


def test_a_tree_is_over_when_all_of_it_is() -> None:
    run, other = a_run("a", parent="album"), a_run("b", parent="a")
    run.phase, other.phase = "Succeeded", "Running"
    family = tree(run, other, of=a_run("album"))
    assert not family.over({"Succeeded"})
    other.phase = "Succeeded"
    assert family.over({"Succeeded"})
