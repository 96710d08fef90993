"""A graph in layers from left to right: each node stands to the right of all that come before it. Pure.

Layers by the longest way, the order in a layer by the middle of the neighbours, in some sweeps: what Sugiyama's method does, without
nodes on the way of long edges. Libraries that do it are under the GPL (igraph), need a program (graphviz), or run in the browser.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SWEEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a node stands."""

    layer: int
    row: int


Neighbours = dict[str, list[str]]


def layout(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, Spot]:
    """The spot of each node. Edges that close a circle are left out of account."""
    before, after = _neighbours(nodes, edges)
    layers = _layers(nodes, before, after)
    rows: dict[str, float] = {node: row for layer in layers for row, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        rightwards = sweep % 2 == 0
        for layer in layers if rightwards else reversed(layers):
            neighbours = before if rightwards else after
            middle = {node: _middle(neighbours[node], rows, instead=rows[node]) for node in layer}
            layer.sort(key=middle.__getitem__)
            rows.update({node: row for row, node in enumerate(layer)})
    return {node: Spot(number, row) for number, layer in enumerate(layers) for row, node in enumerate(layer)}


def layers_of(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The layer of each node, without its row there: that is most of the work."""
    before, after = _neighbours(nodes, edges)
    return {node: number for number, layer in enumerate(_layers(nodes, before, after)) for node in layer}


def _neighbours(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> tuple[Neighbours, Neighbours]:
    """What comes before each node, and what after."""
    before: Neighbours = defaultdict(list)
    after: Neighbours = defaultdict(list)
    for source, target in _without_circles(nodes, edges):
        after[source].append(target)
        before[target].append(source)
    return before, after


def _middle(neighbours: Sequence[str], rows: dict[str, float], *, instead: float) -> float:
    return sum(rows[each] for each in neighbours) / len(neighbours) if neighbours else instead


def _without_circles(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in dict.fromkeys(edges):
        if source != target:
            after[source].append(target)
    kept: list[tuple[str, str]] = []
    done: set[str] = set()
    on_way: set[str] = set()
    for start in nodes:
        if start in done:
            continue
        on_way.add(start)
        stack = [(start, iter(after[start]))]
        while stack:
            node, targets = stack[-1]
            for target in targets:
                if target in on_way:
                    continue
                kept.append((node, target))
                if target not in done:
                    on_way.add(target)
                    stack.append((target, iter(after[target])))
                    break
            else:
                stack.pop()
                on_way.discard(node)
                done.add(node)
    return kept


def _layers(nodes: Sequence[str], before: Neighbours, after: Neighbours) -> list[list[str]]:
    """By the longest way from a node that nothing comes before."""
    left = {node: len(before[node]) for node in nodes}
    number = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not left[node]]
    for node in ready:  # it grows
        for target in after[node]:
            number[target] = max(number[target], number[node] + 1)
            left[target] -= 1
            if not left[target]:
                ready.append(target)
    found: list[list[str]] = [[] for _ in range(max(number.values(), default=-1) + 1)]
    for node in nodes:
        found[number[node]].append(node)
    return found
