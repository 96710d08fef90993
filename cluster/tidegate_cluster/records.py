"""What is known of a cluster on disk, written before anything is made, so that a crash leaves nothing unknown."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .addresses import Addresses, Stack
from .errors import ClusterError
from .settings import Settings

Provider = Literal["kind", "native"]
CONTROL_NODE = "node-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a cluster may be asked for beyond the usual."""

    family: Stack = "ipv4"
    """Of the addresses of its nodes, pods and services: it has no others. `dual`: of both."""
    network_policies: bool = False
    """Whether NetworkPolicies are enforced."""


@dataclass(slots=True)
class Record:
    """One cluster; `ready` only when `up` has come to its end."""

    name: str
    provider: Provider
    number: int
    boot: str
    ready: bool = False
    nodes: dict[str, int] = field(default_factory=dict)
    """Names of nodes with their indexes, from 1 on."""
    family: Stack = "ipv4"
    network_policies: bool = False

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.number, self.family)

    @property
    def options(self) -> Options:
        return Options(family=self.family, network_policies=self.network_policies)


@dataclass(frozen=True, slots=True)
class Store:
    """The records and directories of all clusters of one user."""

    settings: Settings

    def directory(self, name: str) -> Path:
        return self.settings.clusters / name

    def kubeconfig(self, name: str) -> Path:
        return self.directory(name) / "kubeconfig"

    def node_directory(self, name: str, node: str) -> Path:
        return self.directory(name) / "nodes" / node

    def lock(self, name: str) -> Path:
        return self.settings.locks / f"cluster-{name}.lock"

    def names(self) -> Sequence[str]:
        return sorted(path.name for path in self.settings.clusters.glob("*") if path.is_dir())

    def load(self, name: str) -> Record | None:
        """The record, or None when there is none or it can't be read (it is as good as none then)."""
        try:
            return Record(**json.loads((self.directory(name) / "cluster.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, record: Record) -> None:
        """Replace the record at once: a reader never sees half of one."""
        directory = self.directory(record.name)
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / "cluster.json.new"
        fresh.write_text(json.dumps(dataclasses.asdict(record), indent=1))
        fresh.replace(directory / "cluster.json")


def check_name(name: str) -> str:
    """Names become parts of paths, links and node names."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", name):
        raise ClusterError(f"{name!r} is no name: use up to 20 lower-case letters, digits and hyphens, a letter first")
    return name


def boot_id() -> str:
    """Differs after every start of the machine: processes recorded before are gone then."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
