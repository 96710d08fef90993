"""Which networks clusters choose."""

import ipaddress

import pytest
from tidegate_cluster.addresses import MOST_CLUSTERS, MOST_NODES, Addresses, FamilyPlan, choose
from tidegate_cluster.errors import ClusterError


def test_first_cluster_takes_first_network() -> None:
    assert choose(first=200, taken=(), routes=()).number == 200


def test_networks_of_other_clusters_are_left_alone() -> None:
    assert choose(first=200, taken={200, 201}, routes=()).number == 202


@pytest.mark.parametrize("route", ["10.200.3.0/24", "10.192.0.0/12", "10.200.0.1"])
def test_networks_that_the_host_can_reach_are_left_alone(route: str) -> None:
    assert choose(first=200, taken=(), routes=[route]).number != 200


def test_routes_of_ipv6_are_of_no_matter() -> None:
    assert choose(first=200, taken=(), routes=["fd00::/8"]).number == 200


def test_no_free_network_is_reported_with_the_way_out() -> None:
    with pytest.raises(ClusterError, match="TIDEGATE_NETWORK"):
        choose(first=200, taken=set(range(200, 200 + MOST_CLUSTERS)), routes=())


def test_parts_of_a_network_do_not_overlap() -> None:
    plan = FamilyPlan(200, "ipv4")
    whole = ipaddress.IPv4Network(plan.whole)
    texts = (f"10.{plan.number}.0.0/24", plan.pods, plan.services)
    parts = [ipaddress.IPv4Network(text) for text in texts]
    assert all(part.subnet_of(whole) for part in parts)
    assert not any(a.overlaps(b) for i, a in enumerate(parts) for b in parts[i + 1 :])
    assert ipaddress.IPv4Address(plan.apiserver_service) in ipaddress.IPv4Network(plan.services)


def test_every_node_has_pods_and_a_link_of_its_own() -> None:
    addresses = Addresses(255)
    plan = addresses.first
    indexes = range(1, MOST_NODES + 1)
    assert len({plan.node_pods(index) for index in indexes}) == MOST_NODES
    assert all(ipaddress.IPv4Network(plan.node_pods(i)).subnet_of(ipaddress.IPv4Network(plan.pods)) for i in indexes)
    assert all(len(addresses.link(index)) <= 15 for index in indexes)


def test_the_plan_for_ipv6_holds_together_as_well() -> None:
    plan = FamilyPlan(200, "ipv6")
    whole = ipaddress.IPv6Network(plan.whole)
    link = ipaddress.IPv6Network(f"{plan.host}/{plan.link_prefix}", strict=False)
    parts = [link, ipaddress.IPv6Network(plan.pods), ipaddress.IPv6Network(plan.services)]
    assert all(part.subnet_of(whole) for part in parts)
    assert not any(a.overlaps(b) for i, a in enumerate(parts) for b in parts[i + 1 :])
    assert ipaddress.IPv6Address(plan.apiserver_service) in parts[2]
    pods = [ipaddress.IPv6Network(plan.node_pods(index)) for index in range(1, MOST_NODES + 1)]
    assert len(set(pods)) == MOST_NODES
    assert all(each.subnet_of(parts[1]) for each in pods)
    assert ipaddress.IPv6Address(plan.node(1)) in link
    assert plan.node_url(1) == f"[{plan.node(1)}]"


def test_a_number_that_a_cluster_of_the_other_family_has_is_left_alone() -> None:
    assert choose(first=200, taken=(), routes=[FamilyPlan(200, "ipv6").node_pods(1)]).number == 201
    assert choose(first=200, taken=(), routes=[FamilyPlan(200, "ipv4").node_pods(1)], stack="ipv6").number == 201


def test_a_dual_stack_has_the_plans_of_both_families_ipv4_first() -> None:
    plan = Addresses(200, "dual")
    assert plan.families == [FamilyPlan(200, "ipv4"), FamilyPlan(200, "ipv6")]
    assert plan.first.family == "ipv4"
    assert plan.any_address == "::"


@pytest.mark.parametrize("route", ["10.192.0.0/12", "fd74:6964:c8::/64", "fd74:6964:c8::/47"])
def test_a_dual_stack_leaves_networks_of_both_families_alone(route: str) -> None:
    assert choose(first=200, taken=(), routes=[route], stack="dual").number != 200
