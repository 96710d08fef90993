"""Builds single programs from Go modules, each once: kind, kubectl and helm where they are missing, what a node image needs, and
what enforces NetworkPolicies.

They have go.mods of their own: another one of Kubernetes' programs would build all of these again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from . import commands, locks, programs, toolchain
from .errors import ClusterError
from .settings import Settings

SOURCES: Final = Path(__file__).resolve().parent.parent / "tools"
FIREWALL: Final = Path(__file__).resolve().parent.parent / "firewall"
"""kube-router's own: it needs older versions of what the others need."""
_PACKAGES: Final[Mapping[str, str]] = {
    "coredns": "./coredns",
    "crictl": "sigs.k8s.io/cri-tools/cmd/crictl",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "kind": "sigs.k8s.io/kind",
    "kubeadm": "k8s.io/kubernetes/cmd/kubeadm",
    "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "local-path-provisioner": "github.com/rancher/local-path-provisioner",
}


def find(name: str, *, settings: Settings) -> Path:
    """A program: the user's own, one that is built already, or one that is built now."""
    if on_path := shutil.which(name):
        return Path(on_path)
    built = programs.directory(settings=settings) / name
    return built if built.exists() else require(name, settings=settings)


def search_path(names: Sequence[str], *, settings: Settings) -> str:
    """PATH, with the folders of those programs added that it lacks."""
    folders = dict.fromkeys(str(find(name, settings=settings).parent) for name in names)
    present = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*present, *(folder for folder in folders if folder not in present)])


def require(name: str, *, settings: Settings) -> Path:
    """A program built from our go.mod."""
    target = settings.cache / "tools" / _key(name) / name
    if not target.exists():
        with locks.locked(target.parent.with_suffix(".lock"), waiting_for=f"another build of {name}"):
            if not target.exists():
                _build(name, target=target, settings=settings)
    return target


def module_directory(module: str, *, settings: Settings, sources: Path = SOURCES) -> Path:
    """The files of a module that the go.mod in `sources` names, fetched if need be."""
    said = commands.run(
        _go(settings), "mod", "download", "-json", module, cwd=sources, env=toolchain.environment(), timeout=1800
    )
    return Path(str(json.loads(said)["Dir"]))


def version(module: str) -> str:
    """The version of a module in go.mod."""
    found = re.search(rf"\s{re.escape(module)} (v\S+)", (SOURCES / "go.mod").read_text())
    if not found:
        raise ClusterError(f"cluster/tools/go.mod requires no {module}: restore it from git")
    return found[1]


def _sources(name: str) -> Path:
    return FIREWALL if name == "kube-router" else SOURCES


def _key(name: str) -> str:
    digest = hashlib.sha256(f"{name} {platform.system()} {platform.machine()} {programs.TAGS}".encode())
    sources = _sources(name)
    for file in [sources / "go.mod", sources / "go.sum", *sorted(sources.glob(f"{name}/*.go"))]:
        digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _go(settings: Settings) -> Path:
    return toolchain.find(
        wanted=toolchain.wanted_version(go_mod=(SOURCES / "go.mod").read_text()), cache=settings.cache
    )


def _build(name: str, *, target: Path, settings: Settings) -> None:
    print(f"building {name} from Go modules (once)", file=sys.stderr, flush=True)
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f"{name}.half-{os.getpid()}")
    flags = programs.version_flags((SOURCES / "go.mod").read_text())
    options = ("-tags", programs.TAGS, "-ldflags", flags, "-o", half)
    commands.run(
        _go(settings), "build", *options, _PACKAGES[name], cwd=_sources(name), env=toolchain.environment(), timeout=3600
    )
    half.replace(target)
    print(f"  built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
