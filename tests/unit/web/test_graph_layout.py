"""Graphs in layers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.graph_layout import Spot, layout

NODES = [f"n{number}" for number in range(12)]
EDGES = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=40)


@given(EDGES)
def test_every_node_has_a_spot_of_its_own_whatever_the_circles(edges: list[tuple[str, str]]) -> None:
    spots = layout(NODES, edges)
    assert set(spots) == set(NODES)
    assert len(set(spots.values())) == len(NODES)
    layers = {spot.layer for spot in spots.values()}
    assert layers == set(range(len(layers)))


@given(EDGES)
def test_without_circles_each_edge_leads_to_the_right(edges: list[tuple[str, str]]) -> None:
    forward = [(a, b) for a, b in edges if NODES.index(a) < NODES.index(b)]
    spots = layout(NODES, forward)
    assert all(spots[a].layer < spots[b].layer for a, b in forward)


def test_a_node_stands_after_the_longest_way_to_it() -> None:
    spots = layout(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")])
    assert {node: spot.layer for node, spot in spots.items()} == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_neighbours_stand_side_by_side() -> None:
    spots = layout(["a", "b", "x", "y"], [("a", "y"), ("b", "x")])
    assert (spots["a"].row < spots["b"].row) == (spots["y"].row < spots["x"].row)


def test_a_chain_of_two_thousand_is_no_recursion() -> None:
    chain = [str(number) for number in range(2000)]
    assert layout(chain, list(pairwise(chain)))["1999"] == Spot(1999, 0)


def test_nothing_has_no_layout() -> None:
    assert layout([], []) == {}
