"""The page of the graph around a run, drawn as SVG by the server: a script is not needed to see it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, render_template, request, url_for

from tidegate_web.current_app import services
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.graph_layout import Spot, layers_of, layout
from tidegate_web.runs.lookup import find
from tidegate_web.runs.run_graph import Relation, RunGraph, graph_of
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.store.queries.run_graph import GraphRow
from tidegate_web.store.run_rows import RunRow

MOST_DRAWN: Final = 50
"""Runs that are drawn one by one. Of more, those of a task that stand side by side are one box."""
MOST_BOXES: Final = 200
"""Boxes of tasks. Of more, all runs that stand side by side are one."""
MOST_LISTED: Final = 200
"""Runs of one box that the list names."""
WIDTH: Final = 200
HEIGHT: Final = 40
STEP_X: Final = 260
STEP_Y: Final = 54
MARGIN: Final = 8


@dataclass(frozen=True, kw_only=True)
class Node:
    """A run, several of a task, or the name of one that is missing."""

    key: str
    label: str
    runs: tuple[GraphRow, ...]
    x: int
    y: int
    here: bool

    @property
    def phase(self) -> str:
        """The phase that matters most of all of them; empty for a run that is missing."""
        phases = {row.phase for row in self.runs}
        order = ("Failed", "Expired", "Running", "Retrying", "Starting", "Pending", "Skipped", "Cancelled", "Succeeded")
        return next((phase for phase in order if phase in phases), "")

    @property
    def in_order(self) -> list[GraphRow]:
        """The oldest first."""
        return sorted(self.runs, key=lambda row: (row.created, row.name))

    @property
    def phases(self) -> Counter[str]:
        """How many are in each phase."""
        return Counter(row.phase for row in self.runs)


@dataclass(frozen=True, kw_only=True)
class Line:
    """An edge as the data of a path."""

    path: str
    relation: Relation


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """All of it."""

    nodes: list[Node]
    lines: list[Line]
    width: int
    height: int
    grouped: bool


def add_routes(area: Blueprint) -> None:
    """The route of this page."""

    @area.get("/projects/<project>/runs/<run>/graph")
    @requires(Permission.VIEWER)
    def run_graph(project: str, run: str) -> str:
        made = services()
        row = find(made, project, run)
        graph = graph_of(made, project, as_graph_row(row))
        box = request.args.get("box")
        return render_template(
            "_run_graph.html" if fragment_wanted() else "run_graph.html",
            project=project,
            run=row,
            graph=graph,
            drawing=None if graph is None else draw(graph, row.uid),
            box=box,
            most_listed=MOST_LISTED,
            address=url_for("pages.run_graph", project=project, run=row.uid, box=box),
            now=made.clock.now(),
        )


def as_graph_row(row: RunRow) -> GraphRow:
    """The run itself."""
    needed = row.spec.get("dependsOn")
    names = [each.get("name") for each in needed if isinstance(each, dict)] if isinstance(needed, list) else []
    return GraphRow(
        uid=row.uid,
        name=row.name,
        created=row.created,
        phase=row.phase,
        task=row.task,
        parent_run=row.parent_run,
        started_at=row.started_at,
        finished_at=row.finished_at,
        depends_on=[name for name in names if isinstance(name, str)],
    )


def draw(graph: RunGraph, here: str) -> Drawing:
    """Where each node stands, and the lines between them. Pure."""
    nodes = [*graph.runs, *sorted(graph.missing)]
    edges = [(edge.source, edge.target) for edge in graph.edges]
    group = _groups(graph, nodes, edges, here)
    members: dict[str, list[str]] = {}
    for node in nodes:
        members.setdefault(group[node], []).append(node)
    spots = layout(list(members), [(group[source], group[target]) for source, target in edges])
    drawn = [_node(graph, key, inner, spots[key], here=key == here) for key, inner in members.items()]
    lines = dict.fromkeys(
        (group[edge.source], group[edge.target], edge.relation)
        for edge in graph.edges
        if group[edge.source] != group[edge.target]
    )
    return Drawing(
        nodes=sorted(drawn, key=lambda each: (each.x, each.y)),
        lines=[Line(path=_path(spots[source], spots[target]), relation=relation) for source, target, relation in lines],
        width=max((each.x for each in drawn), default=0) + WIDTH + MARGIN,
        height=max((each.y for each in drawn), default=0) + HEIGHT + MARGIN,
        grouped=len(nodes) > MOST_DRAWN,
    )


def _groups(graph: RunGraph, nodes: Sequence[str], edges: Sequence[tuple[str, str]], here: str) -> dict[str, str]:
    """The box that each node is in: one of its own where they are few, and always for the run that the page is about."""
    own = {node: node for node in nodes}
    if len(nodes) <= MOST_DRAWN:
        return own
    layers = layers_of(nodes, edges)

    def by(label: Callable[[GraphRow], str]) -> dict[str, str]:
        rows = {node: graph.runs.get(node) for node in nodes}
        # No uid and no name of a run has a slash.
        boxes = {node: f"{layers[node]}/{'' if row is None else '/' + label(row)}" for node, row in rows.items()}
        return {**boxes, here: here}

    by_task = by(lambda row: row.task or "")
    return by_task if len(set(by_task.values())) <= MOST_BOXES else by(lambda row: "")


def _node(graph: RunGraph, key: str, inner: Sequence[str], spot: Spot, *, here: bool) -> Node:
    runs = tuple(graph.runs[each] for each in inner if each in graph.runs)
    x, y = MARGIN + spot.layer * STEP_X, MARGIN + spot.row * STEP_Y
    return Node(key=key, label=_label(inner, runs), runs=runs, x=x, y=y, here=here)


def _label(inner: Sequence[str], runs: Sequence[GraphRow]) -> str:
    if len(inner) == 1:
        return runs[0].name if runs else inner[0]
    if not runs:
        return f"{len(inner)} names"
    tasks = {row.task or "inline" for row in runs}
    return f"{tasks.pop()} × {len(runs)}" if len(tasks) == 1 else f"{len(runs)} runs of {len(tasks)} tasks"


def _path(source: Spot, target: Spot) -> str:
    x1, y1 = MARGIN + source.layer * STEP_X + WIDTH, MARGIN + source.row * STEP_Y + HEIGHT // 2
    x2, y2 = MARGIN + target.layer * STEP_X, MARGIN + target.row * STEP_Y + HEIGHT // 2
    bend = max(30, abs(x2 - x1) // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
