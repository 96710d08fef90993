"""Which addresses a cluster uses: a /16 or /48 of each family, chosen so that clusters stand side by side and the host keeps its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import ClusterError

MOST_CLUSTERS = 16
MOST_NODES = 16


Family = Literal["ipv4", "ipv6"]
"""Of one address."""
Stack = Literal["ipv4", "ipv6", "dual"]
"""Of a cluster: its nodes, pods and services have addresses of one family, or of both."""
FAMILIES: Mapping[Stack, Sequence[Family]] = {"ipv4": ("ipv4",), "ipv6": ("ipv6",), "dual": ("ipv4", "ipv6")}
"""The first is what a node, a pod or a service is known by where one address is asked for."""


@dataclass(frozen=True, slots=True)
class FamilyPlan:
    """The addresses of one family, within 10.NUMBER.0.0/16 or fd74:6964:NUMBER::/48."""

    number: int
    family: Family

    @property
    def is_ipv6(self) -> bool:
        return self.family == "ipv6"

    @property
    def whole(self) -> str:
        return self._choose(f"10.{self.number}.0.0/16", "::/48")

    @property
    def everywhere(self) -> str:
        """The destination of a default route."""
        return self._choose("0.0.0.0/0", "::/0", complete=True)

    @property
    def any_address(self) -> str:
        """What a server binds that is to be reached at all addresses of its node. `::` takes connections of IPv4 too."""
        return self._choose("0.0.0.0", "::", complete=True)  # noqa: S104 - in a network of its own

    @property
    def host(self) -> str:
        """The host's side of the bridge."""
        return self._choose(f"10.{self.number}.0.1", "::1")

    @property
    def link_prefix(self) -> int:
        """How long the prefix is that host and nodes share."""
        return 64 if self.is_ipv6 else 24

    @property
    def pods(self) -> str:
        return self._choose(f"10.{self.number}.16.0/20", ":100::/56")

    @property
    def services(self) -> str:
        return self._choose(f"10.{self.number}.32.0/20", ":200::/112")

    @property
    def apiserver_service(self) -> str:
        """The first address of the services is the apiserver's own."""
        return self._choose(f"10.{self.number}.32.1", ":200::1")

    def node(self, index: int) -> str:
        return self._choose(f"10.{self.number}.0.{10 + index}", f"::{10 + index:x}")

    def node_url(self, index: int) -> str:
        """A node's address as it stands in a URL."""
        return f"[{self.node(index)}]" if self.is_ipv6 else self.node(index)

    def node_pods(self, index: int) -> str:
        """The pods of the node with this index, from 1 on."""
        return self._choose(f"10.{self.number}.{16 + index - 1}.0/24", f":{0x100 + index - 1:x}::/64")

    def _choose(self, ipv4: str, ipv6: str, *, complete: bool = False) -> str:
        if not self.is_ipv6:
            return ipv4
        return ipv6 if complete else f"fd74:6964:{self.number:x}{ipv6}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The plan of one cluster; NUMBER also names its links and cgroups."""

    number: int
    stack: Stack = "ipv4"

    @property
    def families(self) -> Sequence[FamilyPlan]:
        return [FamilyPlan(self.number, family) for family in FAMILIES[self.stack]]

    @property
    def first(self) -> FamilyPlan:
        return self.families[0]

    @property
    def any_address(self) -> str:
        """What a server binds that is to be reached at all addresses of its node, of whichever family."""
        return self.families[-1].any_address

    @property
    def bridge(self) -> str:
        return f"tidegate{self.number}"

    @property
    def bridge_mac(self) -> str:
        """One that is administered locally (IEEE 802, bit 1 of the first byte)."""
        return f"02:74:67:00:00:{self.number:02x}"

    def link(self, index: int) -> str:
        """The host's end of a node's cable; 15 characters at most."""
        return f"{self.bridge}-{index}"

    def cgroup(self, node: str) -> str:
        return f"tidegate-{self.number}-{node}"


def choose(*, first: int, taken: Collection[int], routes: Sequence[str], stack: Stack = "ipv4") -> Addresses:
    """The first addresses that no cluster of ours has and no route of the host overlaps."""
    networks = [ipaddress.ip_network(route, strict=False) for route in routes]
    for number in range(first, min(first + MOST_CLUSTERS, 256)):
        plan = Addresses(number, stack)
        if number not in taken and not any(_overlap(plan, network) for network in networks):
            return plan
    raise ClusterError(
        f"no free network from 10.{first}.0.0/16 on: take a cluster down (down --all), or set TIDEGATE_NETWORK"
    )


def _overlap(plan: Addresses, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    family: Family = "ipv4" if network.version == 4 else "ipv6"
    own = ipaddress.ip_network(FamilyPlan(plan.number, family).whole)
    # A cluster of the other family has the number in the names of its bridge and cgroups.
    return own.overlaps(network) and (family in FAMILIES[plan.stack] or network.prefixlen >= own.prefixlen)
