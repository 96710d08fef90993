"""The graph around a run: what is found, what is grouped, and where it stops."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from tidegate_web.pages.run_graph import MOST_DRAWN, draw
from tidegate_web.runs.run_graph import LEVELS, MOST, RunGraph, explore
from tidegate_web.store.queries.run_graph import GraphRow

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def row(
    name: str, *needs: str, parent: str | None = None, at: float = 0, ended: float | None = None, task: str = "t", phase: str = "Succeeded"
) -> GraphRow:  # fmt: skip
    return GraphRow(
        uid=f"uid-{name}-{at:g}",
        name=name,
        created=NOON + timedelta(minutes=at),
        phase=phase,
        task=task,
        parent_run=parent,
        started_at=None,
        finished_at=None if ended is None else NOON + timedelta(minutes=ended),
        depends_on=list(needs),
    )


class Known:
    """Runs as Postgres has them."""

    def __init__(self, *rows: GraphRow) -> None:
        self.rows, self.questions = rows, 0

    def named(self, names: Collection[str], until: datetime) -> Sequence[GraphRow]:
        self.questions += 1
        newest = {each.name: each for each in sorted(self.rows, key=lambda r: r.created) if each.created <= until}
        return [newest[name] for name in names if name in newest]

    def dependents(self, names: Collection[str]) -> Sequence[GraphRow]:
        self.questions += 1
        return [each for each in self.rows if set(each.depends_on) & set(names)]

    def children(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[GraphRow]:
        self.questions += 1
        return [each for each in self.rows if each.parent_run in names and since <= each.created <= until]


def explored(here: GraphRow, *others: GraphRow) -> RunGraph:
    return explore(here, Known(here, *others), now=NOON + timedelta(hours=1))


def edges(graph: RunGraph) -> set[tuple[str, str, str]]:
    names = {uid: each.name for uid, each in graph.runs.items()}
    return {(names.get(e.source, e.source), names[e.target], e.relation) for e in graph.edges}


def test_what_it_needs_what_needs_it_and_what_they_started() -> None:
    graph = explored(
        row("load", "fetch"),
        row("fetch"),
        row("report", "load", "check"),
        row("check", "fetch"),
        row("part", parent="load", at=1),
        row("stranger"),
    )
    assert edges(graph) == {
        ("fetch", "load", "needs"),
        ("load", "report", "needs"),
        ("check", "report", "needs"),
        ("load", "part", "started"),
    }
    assert graph.missing == {"check"}, "only what leads to the run, or from it, is followed"


def test_a_name_is_the_newest_run_that_was_there() -> None:
    graph = explored(
        row("load", "fetch", ended=5), row("fetch", at=-60, ended=-50), row("fetch", at=-1), row("fetch", at=30)
    )
    assert {each.created for each in graph.runs.values() if each.name == "fetch"} == {NOON - timedelta(minutes=1)}


def test_what_ended_before_it_was_there_did_not_need_it() -> None:
    graph = explored(row("fetch"), row("load", "fetch", at=-60, ended=-50), row("later", "fetch", at=5))
    assert {each.name for each in graph.runs.values()} == {"fetch", "later"}


def test_a_circle_ends() -> None:
    graph = explored(row("a", "b"), row("b", "a"))
    assert edges(graph) == {("b", "a", "needs"), ("a", "b", "needs")}
    assert len(draw(graph, "uid-a-0").nodes) == 2


def test_a_wide_and_a_deep_graph_are_cut() -> None:
    wide = explored(row("root"), *(row(f"leaf-{number}", "root") for number in range(MOST + 10)))
    assert (len(wide.runs), wide.truncated) == (MOST, True)
    chain = [row("link-0"), *(row(f"link-{number}", f"link-{number - 1}") for number in range(1, LEVELS + 10))]
    deep = explored(chain[0], *chain[1:])
    assert (len(deep.runs), deep.truncated) == (LEVELS + 1, True)


def test_questions_are_asked_by_level() -> None:
    known = Known(row("root"), *(row(f"leaf-{number}", "root") for number in range(500)))
    explore(known.rows[0], known, now=NOON)
    assert known.questions == 4


def test_nothing_is_asked_once_there_are_as_many_runs_as_a_graph_may_have() -> None:
    known = Known(row("root"), *(row(f"leaf-{number}", "root") for number in range(MOST)))
    assert explore(known.rows[0], known, now=NOON).truncated
    assert known.questions == 2


def test_many_runs_of_a_task_are_one_box() -> None:
    leaves = [
        row(f"leaf-{number}", "root", task="resize", phase="Failed" if number < 3 else "Succeeded")
        for number in range(MOST_DRAWN)
    ]
    graph = explored(row("root"), *leaves, row("report", *(leaf.name for leaf in leaves[:40])))
    drawing = draw(graph, "uid-root-0")
    assert drawing.grouped
    assert [(node.label, node.here) for node in drawing.nodes] == [
        ("root", True),
        ("resize × 50", False),
        ("report", False),
    ]
    box = drawing.nodes[1]
    assert (box.phase, box.phases["Failed"], box.phases["Succeeded"]) == ("Failed", 3, 47)
    assert len(drawing.lines) == 2
    few = draw(explored(row("root"), *leaves[:10]), "uid-root-0")
    assert (few.grouped, len(few.nodes)) == (False, 11)


def test_where_tasks_make_too_many_boxes_all_that_stand_side_by_side_are_one() -> None:
    steps = [
        [row(f"step-{i}-{j}", f"step-{i - 1}-{j}" if i else "root", task=f"task-{j}") for j in range(30)]
        for i in range(20)
    ]
    graph = explored(row("root"), *(each for step in steps for each in step))
    drawing = draw(graph, "uid-root-0")
    assert [node.label for node in drawing.nodes] == ["root", *["30 runs of 30 tasks"] * 20]
    assert len(drawing.lines) == 20
    assert len(draw(graph, "uid-step-3-7-0").nodes) == 22, "the run of the page has a box of its own"


def test_names_that_no_run_has_are_grouped_as_well() -> None:
    graph = explored(row("here", *(f"gone-{number}" for number in range(MOST_DRAWN + 5))))
    assert {node.label for node in draw(graph, "uid-here-0").nodes} == {"here", f"{MOST_DRAWN + 5} names"}
