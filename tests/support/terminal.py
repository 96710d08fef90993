"""A user's shell with a cluster: for scripts that stand in pages and examples, run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from tidegate_demo.kubectl import Kubectl

from support.cluster import SECONDS


def shell(kubectl: Kubectl, *, namespace: str, folder: Path) -> dict[str, str]:
    """Its environment: kubectl, the command and Python, and a kubeconfig with the namespace. `folder`: where its files go."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(kubectl.command()[0])
    config = yaml.safe_load(Path(kubectl.environment["KUBECONFIG"]).read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = namespace
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "KUBECONFIG": str(folder / "kubeconfig")}


def run_script(script: str, *, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """As GitHub's runners do it; what it prints is in ``stdout``."""
    return subprocess.run(
        ["bash", "-e", "-c", script],
        env=environment,
        cwd=folder,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=2 * SECONDS,
    )
