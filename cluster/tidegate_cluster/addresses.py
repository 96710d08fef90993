"""Which addresses a cluster uses: one /16 each, chosen so that clusters stand side by side and the host keeps its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .errors import ClusterError

MOST_CLUSTERS = 16
MOST_NODES = 16


@dataclass(frozen=True, slots=True)
class Addresses:
    """The plan of one cluster within 10.NUMBER.0.0/16; NUMBER also names its links and cgroups."""

    number: int

    @property
    def whole(self) -> str:
        return f"10.{self.number}.0.0/16"

    @property
    def host(self) -> str:
        """The host's side of the bridge."""
        return f"10.{self.number}.0.1"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.16.0/20"

    @property
    def services(self) -> str:
        return f"10.{self.number}.32.0/20"

    @property
    def apiserver_service(self) -> str:
        """The first address of the services is the apiserver's own."""
        return f"10.{self.number}.32.1"

    @property
    def bridge(self) -> str:
        return f"tidegate{self.number}"

    def node(self, index: int) -> str:
        return f"10.{self.number}.0.{10 + index}"

    def node_pods(self, index: int) -> str:
        """The pods of the node with this index, from 1 on."""
        return f"10.{self.number}.{16 + index - 1}.0/24"

    def link(self, index: int) -> str:
        """The host's end of a node's cable; 15 characters at most."""
        return f"{self.bridge}-{index}"

    def cgroup(self, node: str) -> str:
        return f"tidegate-{self.number}-{node}"


def choose(*, first: int, taken: Collection[int], routes: Sequence[str]) -> Addresses:
    """The first addresses that no cluster of ours has and no route of the host overlaps."""
    networks = [ipaddress.ip_network(route, strict=False) for route in routes]
    for number in range(first, min(first + MOST_CLUSTERS, 256)):
        plan = Addresses(number)
        wanted = ipaddress.ip_network(plan.whole)
        if number not in taken and not any(wanted.overlaps(network) for network in networks if network.version == 4):
            return plan
    raise ClusterError(
        f"no free network from 10.{first}.0.0/16 on: take a cluster down (down --all), or set TIDEGATE_NETWORK"
    )
