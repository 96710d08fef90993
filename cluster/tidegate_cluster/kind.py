"""A cluster in Docker by way of kind, for where an engine answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commands, host, tools
from .records import Record, Store, boot_id


def config(*, cgroups_v1: bool) -> str:
    """kind's configuration: one node, and a controller manager that isn't held to 20 requests a second."""
    arguments = {"kube-api-qps": "1000", "kube-api-burst": "2000", "concurrent-job-syncs": "20"}
    listed = [{"name": name, "value": value} for name, value in arguments.items()]
    # kubeadm changed arguments from a map to a list with v1beta4; patches of both versions are given, the one that
    # doesn't fit the node image's version is left out by kind.
    patches = [
        {"apiVersion": "kubeadm.k8s.io/v1beta3", "controllerManager": {"extraArgs": arguments}},
        {"apiVersion": "kubeadm.k8s.io/v1beta4", "controllerManager": {"extraArgs": listed}},
    ]
    texts = [json.dumps({"kind": "ClusterConfiguration", **patch}) for patch in patches]
    if cgroups_v1:
        # Kubernetes >= 1.35 refuses such hosts otherwise.
        version = "kubelet.config.k8s.io/v1beta1"
        texts.append(json.dumps({"kind": "KubeletConfiguration", "apiVersion": version, "failCgroupV1": False}))
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane"}],
            "kubeadmConfigPatches": texts,
        },
        indent=1,
    )


@dataclass(frozen=True, slots=True)
class KindCluster:
    """One cluster by name; Docker knows it with the prefix `tidegate-`."""

    name: str
    store: Store

    @property
    def kind_name(self) -> str:
        return f"tidegate-{self.name}"

    def healthy(self) -> bool:
        """Whether it has come up and still answers."""
        record = self.store.load(self.name)
        kubeconfig = self.store.kubeconfig(self.name)
        return bool(record and record.ready) and commands.succeeds(
            self._program("kubectl"), f"--kubeconfig={kubeconfig}", "get", "--raw=/readyz"
        )

    def up(self) -> None:
        """Make it from nothing; on failure nothing is left."""
        kind = self._program("kind")
        self._program("kubectl")
        self.down()
        record = Record(name=self.name, provider="kind", number=0, boot=boot_id())
        self.store.save(record)
        path = self.store.directory(self.name) / "kind.yaml"
        path.write_text(config(cgroups_v1=host.docker_has_cgroups_v1()))
        try:
            kubeconfig = f"--kubeconfig={self.store.kubeconfig(self.name)}"
            options = [f"--name={self.kind_name}", f"--config={path}", kubeconfig, "--wait=120s"]
            if image := self.store.settings.node_image:
                options.append(f"--image={image}")
            commands.run(kind, "create", "cluster", *options, timeout=1200)
        except BaseException:
            self.down()
            raise
        record.ready = True
        self.store.save(record)

    def down(self) -> None:
        """Leave nothing of it."""
        directory = self.store.directory(self.name)
        if directory.exists():
            kubeconfig = f"--kubeconfig={self.store.kubeconfig(self.name)}"
            commands.run(self._program("kind"), "delete", "cluster", f"--name={self.kind_name}", kubeconfig)
            shutil.rmtree(directory)

    def load(self, archives: Sequence[Path]) -> None:
        """Import image archives."""
        for path in archives:
            commands.run(self._program("kind"), "load", "image-archive", f"--name={self.kind_name}", path)

    def _program(self, name: str) -> Path:
        return tools.find(name, settings=self.store.settings)
