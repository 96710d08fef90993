"""The cables between host and nodes: one bridge a cluster, one pair of virtual Ethernet ends a node."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import commands
from .addresses import Addresses, FamilyPlan
from .errors import ClusterError
from .machine import Machine


def host_routes() -> Sequence[str]:
    """The networks that the host can reach by a route of its own, as text."""
    lines = [
        line
        for family in ("-4", "-6")
        for line in commands.run("ip", family, "route", "show", "table", "all", "type", "unicast").splitlines()
    ]
    return [line.split()[0] for line in lines if line and not line.startswith("default")]


def create_bridge(addresses: Addresses) -> None:
    """Make the cluster's bridge, with the host as one of its stations."""
    bridge = addresses.bridge
    # A bridge without an address of its own takes the lowest of its cables' addresses. Then each node that comes or goes may
    # change it, and the others send to the one before until their ARP entries expire: most of a minute.
    _ip(
        f"link add {bridge} address {addresses.bridge_mac} type bridge",
        *(f"addr add {plan.host}/{plan.link_prefix} dev {bridge}{_at_once(plan)}" for plan in addresses.families),
        f"link set {bridge} up",
    )


def connect(addresses: Addresses, *, machine: Machine, index: int) -> None:
    """Plug a node in."""
    link = addresses.link(index)
    _ip(
        f"link add {link} type veth peer name eth0 netns {machine.first_pid()}",
        f"link set {link} master {addresses.bridge}",
        f"link set {link} up",
        *(f"{_route(plan, index)} dev {addresses.bridge}" for plan in addresses.families),
    )
    lines = [
        *(f"addr add {plan.node(index)}/{plan.link_prefix} dev eth0{_at_once(plan)}" for plan in addresses.families),
        "link set eth0 up",
        *(f"route add default via {plan.host}" for plan in addresses.families),
    ]
    machine.run("ip", "-batch", "-", stdin="\n".join(lines))


def route_pods(addresses: Addresses, *, machines: Mapping[int, Machine]) -> None:
    """Give every node the way to the other nodes' pods."""
    for own, machine in machines.items():
        lines = [_route(plan, index) for index in machines if index != own for plan in addresses.families]
        if lines:
            machine.run("ip", "-batch", "-", stdin="\n".join(lines))


def disconnect(addresses: Addresses, *, index: int) -> None:
    """Take a node's cable and route away."""
    for plan in addresses.families:
        with contextlib.suppress(ClusterError):
            _ip(f"route del {plan.node_pods(index)}")
    delete_link(addresses.link(index))


def remove(addresses: Addresses) -> None:
    """Take away all cables of a cluster."""
    for link in Path("/sys/class/net").glob(f"{addresses.bridge}-*"):
        delete_link(link.name)
    delete_link(addresses.bridge)


def delete_link(name: str) -> None:
    """Delete a link if it is there: the kernel may be deleting it at this moment, as its name space ends."""
    with contextlib.suppress(ClusterError):
        _ip(f"link del {name}")
    if Path("/sys/class/net", name).exists():
        _ip(f"link del {name}")


def _route(plan: FamilyPlan, index: int) -> str:
    return f"route replace {plan.node_pods(index)} via {plan.node(index)}"


def _at_once(plan: FamilyPlan) -> str:
    # The address is unique here. Duplicate address detection would only delay its use.
    return " nodad" if plan.is_ipv6 else ""


def _ip(*lines: str) -> None:
    commands.run("ip", "-batch", "-", stdin="\n".join(lines))
