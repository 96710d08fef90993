"""kubectl and helm against the demo's cluster."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tidegate_cluster import commands
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The programs, with the environment that leads them to one cluster."""

    environment: Mapping[str, str]

    @classmethod
    def of(cls, found: Clusters, name: str) -> Self:
        """Those of a cluster that is up."""
        return cls({**os.environ, **found.environment(name)})

    @property
    def kubeconfig(self) -> Path:
        """The file with the cluster's address and an admin's credentials."""
        return Path(self.environment["KUBECONFIG"])

    def __call__(self, *args: str | Path, stdin: str | None = None) -> str:
        return commands.run(self._program("kubectl"), *args, stdin=stdin, env=self.environment)

    def helm(self, *args: str | Path, stdin: str | None = None) -> str:
        """What helm prints."""
        return commands.run(self._program("helm"), *args, stdin=stdin, env=self.environment)

    def secret(self, namespace: str, name: str, *, key: str) -> str:
        """One value of a Secret."""
        return base64.b64decode(
            self("-n", namespace, "get", "secret", name, "-o", f"jsonpath={{.data.{key}}}")
        ).decode()

    def command(self, *args: str) -> list[str]:
        """The words that start kubectl, to be started with `environment` in the background."""
        return [self._program("kubectl"), *args]

    def spawn(self, *args: str) -> subprocess.Popen[bytes]:
        """Start kubectl and leave it running."""
        words = self.command(*args)
        return subprocess.Popen(words, env=dict(self.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _program(self, name: str) -> str:
        for directory in self.environment["PATH"].split(os.pathsep):
            candidate = Path(directory) / name
            if os.access(candidate, os.X_OK) and candidate.is_file():
                return str(candidate)
        raise ClusterError(f"{name} is not installed: put it on PATH")
