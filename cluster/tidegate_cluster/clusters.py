"""All clusters by name, whatever they are made with: what the command line, `make demo` and the tests call."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import host, locks, programs, tools
from .components import Taint
from .errors import ClusterError
from .kind import KindCluster
from .native import NativeCluster
from .records import Options, Provider, Store, check_name
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of this user on this host."""

    settings: Settings

    def names(self) -> Sequence[str]:
        """All that are up, or were left half up."""
        return self._store.names()

    def state(self, name: str) -> str:
        """`ready`, or `broken` when `up` would make it again."""
        record = self._store.load(name)
        healthy = record is not None and self._cluster(name, record.provider).healthy()
        return "ready" if healthy else "broken"

    def up(self, name: str, *, provider: str = "auto", options: Options | None = None) -> Path:
        """Make or repair the cluster of this name; the path of its kubeconfig. One with other options is replaced."""
        check_name(name)
        options = options or Options()
        with self._locked(name):
            record = self._store.load(name)
            fits = record and provider in ("auto", record.provider) and record.options == options
            if record and fits and self._cluster(name, record.provider).healthy():
                return self._store.kubeconfig(name)
            chosen = host.choose_provider("native" if provider == "auto" and options != Options() else provider)
            if record and record.provider != chosen:
                self._cluster(name, record.provider).down()
            started = time.monotonic()
            made = self._cluster(name, chosen)
            if isinstance(made, NativeCluster):
                made.up(options)
            elif options != Options():
                raise ClusterError("kind's clusters have no such options: use --provider native")
            else:
                made.up()
            print(f"cluster {name} is up ({chosen}, {time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
            return self._store.kubeconfig(name)

    def down(self, name: str) -> None:
        """No trace of a cluster of this name; fine if there is none."""
        check_name(name)
        with self._locked(name):
            record = self._store.load(name)
            if record is None and not self._store.directory(name).exists():
                return
            if os.geteuid() != 0 and self._store.directory(name).stat().st_uid == 0:
                raise ClusterError(f"cluster {name} belongs to root: run this again as root")
            self._cluster(name, record.provider if record else "native").down()

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a cluster that is up."""
        record = self._store.load(check_name(name))
        if record is None or not record.ready:
            raise ClusterError(f"there is no cluster {name}: run `up --name {name}` first")
        return self._store.kubeconfig(name)

    def provider(self, name: str) -> Provider:
        """What a cluster is made with."""
        record = self._store.load(check_name(name))
        if record is None:
            raise ClusterError(f"there is no cluster {name}: run `up --name {name}` first")
        return record.provider

    def environment(self, name: str) -> Mapping[str, str]:
        """What to export so that kubectl and helm are ours and speak to this cluster."""
        path = self.kubeconfig(name)
        built = programs.directory(settings=self.settings)
        if built.is_dir():
            search = f"{built}:{os.environ.get('PATH', '')}"
        else:
            search = tools.search_path(("kubectl", "helm"), settings=self.settings)
        return {"KUBECONFIG": str(path), "PATH": search}

    def load(self, name: str, archives: Sequence[Path]) -> None:
        """Bring image archives into every node."""
        with self._locked(name):
            self._existing(name).load(archives)

    def add_node(self, name: str, node: str, *, taints: Sequence[Taint] = ()) -> None:
        """Add a node to a native cluster. It has `taints` from its first moment on."""
        with self._locked(name):
            self._native(name).add_node(check_name(node), taints=taints)

    def kill_node(self, name: str, node: str, *, power: bool = False) -> None:
        """Let an added node fail."""
        with self._locked(name):
            self._native(name).kill_node(node, power=power)

    def restart_node(self, name: str, node: str) -> None:
        """End the kubelet and containerd of an added node, and start them again."""
        with self._locked(name):
            self._native(name).restart_node(node)

    def freeze_node(self, name: str, node: str) -> None:
        """Let an added node answer no more, until it is thawed."""
        with self._locked(name):
            self._native(name).freeze_node(node)

    def thaw_node(self, name: str, node: str) -> None:
        """Let a frozen node answer again."""
        with self._locked(name):
            self._native(name).thaw_node(node)

    def remove_node(self, name: str, node: str) -> None:
        """Throw an added node away."""
        with self._locked(name):
            self._native(name).remove_node(node)

    @property
    def _store(self) -> Store:
        return Store(self.settings)

    def _cluster(self, name: str, provider: Provider) -> KindCluster | NativeCluster:
        made = KindCluster if provider == "kind" else NativeCluster
        return made(name=name, store=self._store)

    def _existing(self, name: str) -> KindCluster | NativeCluster:
        record = self._store.load(check_name(name))
        if record is None:
            raise ClusterError(f"there is no cluster {name}: run `up --name {name}` first")
        return self._cluster(name, record.provider)

    def _native(self, name: str) -> NativeCluster:
        cluster = self._existing(name)
        if not isinstance(cluster, NativeCluster):
            raise ClusterError(f"cluster {name} is made with kind, which can't add nodes: use --provider native")
        return cluster

    def _locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        return locks.locked(self._store.lock(name), waiting_for=f"another command on cluster {name}")
