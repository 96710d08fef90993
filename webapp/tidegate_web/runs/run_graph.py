"""What a run depended on, what depends on it, and what it and those have started, as a graph.

Runs name each other, and names are used again. So a name means the newest run that had it while the run that names it was there.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from tidegate_web.services import Services
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import run_graph as queries
from tidegate_web.store.queries.run_graph import GraphRow

LEVELS: Final = 60
"""Steps that are followed from the run, in each direction."""
MOST: Final = 2000
"""Runs of a graph."""

Relation = Literal["needs", "started"]


class Ask(Protocol):
    """Who knows the runs of a project."""

    def named(self, names: Collection[str], until: datetime) -> Sequence[GraphRow]:
        """The newest run of each of these names that was created until then."""

    def dependents(self, names: Collection[str]) -> Sequence[GraphRow]:
        """Runs that depend on one of these names."""

    def children(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[GraphRow]:
        """Runs that a run of one of these names has started in a time."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """From a run to one that comes after it: one that needs it, or that it has started."""

    source: str
    target: str
    relation: Relation


@dataclass(kw_only=True)
class RunGraph:
    """Runs by uid, and what they are to each other."""

    runs: dict[str, GraphRow] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    """Names in ``dependsOn`` that no run has."""
    edges: list[Edge] = field(default_factory=list)
    truncated: bool = False
    """Whether there may be more: what comes after the last of ``MOST`` runs isn't asked for."""


class _StoredRuns:
    def __init__(self, made: Services, project: str) -> None:
        self._made, self._project = made, project

    def named(self, names: Collection[str], until: datetime) -> Sequence[GraphRow]:
        with self._made.engine.connect() as connection:
            return queries.named(connection, project=self._project, names=names, until=until)

    def dependents(self, names: Collection[str]) -> Sequence[GraphRow]:
        with self._made.engine.connect() as connection:
            return queries.dependents(connection, project=self._project, names=names, limit=MOST)

    def children(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[GraphRow]:
        with self._made.engine.connect() as connection:
            return queries.children(
                connection, project=self._project, parents=names, since=since, until=until, limit=MOST
            )


def graph_of(made: Services, project: str, run: GraphRow) -> RunGraph | None:
    """The graph around a run; None while Postgres is away."""
    now = made.clock.now()
    return with_fallback(lambda: explore(run, _StoredRuns(made, project), now=now), lambda: None)


def explore(run: GraphRow, ask: Ask, *, now: datetime) -> RunGraph:
    """Level by level: at most three questions a level."""
    graph = RunGraph(runs={run.uid: run})
    _before(graph, run, ask, now=now)
    _after(graph, run, ask, now=now)
    by_name = {row.name: row.uid for row in graph.runs.values()}
    for row in graph.runs.values():
        for name in dict.fromkeys(row.depends_on):
            if name not in by_name:
                graph.missing.add(name)
            graph.edges.append(Edge(source=by_name.get(name, name), target=row.uid, relation="needs"))
        if row.parent_run in by_name and by_name[row.parent_run] != row.uid:
            graph.edges.append(Edge(source=by_name[row.parent_run], target=row.uid, relation="started"))
    return graph


def _before(graph: RunGraph, run: GraphRow, ask: Ask, *, now: datetime) -> None:
    frontier, known = [run], {run.name}
    for _ in range(LEVELS):
        wanted = {name for row in frontier for name in (*row.depends_on, row.parent_run) if name} - known
        if not wanted:
            return
        if len(graph.runs) >= MOST:
            break
        known |= wanted
        frontier = _add(graph, ask.named(wanted, max(row.finished_at or now for row in frontier)))
    graph.truncated = True


def _after(graph: RunGraph, run: GraphRow, ask: Ask, *, now: datetime) -> None:
    frontier = [run]
    for _ in range(LEVELS):
        if not frontier:
            return
        if len(graph.runs) >= MOST:
            break
        names, since = {row.name for row in frontier}, min(row.created for row in frontier)
        found = [row for row in ask.dependents(names) if (row.finished_at or now) >= since]
        found += ask.children(names, since, max(row.finished_at or now for row in frontier))
        frontier = _add(graph, found)
    graph.truncated = True


def _add(graph: RunGraph, found: Iterable[GraphRow]) -> list[GraphRow]:
    fresh = []
    names = {row.name for row in graph.runs.values()}
    for row in found:
        if row.uid in graph.runs or row.name in names:
            continue
        if len(graph.runs) >= MOST:
            graph.truncated = True
            break
        graph.runs[row.uid] = row
        names.add(row.name)
        fresh.append(row)
    return fresh
