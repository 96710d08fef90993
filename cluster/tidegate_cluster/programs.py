"""Builds Kubernetes and what it needs from Go modules, once for all clusters and checkouts that share its sources."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import commands, locks, toolchain
from .errors import ClusterError
from .settings import Settings

_ROLES = (
    "coredns",
    "etcd",
    "helm",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "kwok",
)
# containerd and its shim register plugins in one global table, so they can't be linked with anything else.
_APART = ("containerd", "containerd-shim-runc-v2", "ctr")
TAGS = "grpcnotrace,no_btrfs,no_devmapper,no_zfs"
# The linker strips what the compiler would write for debuggers.
_COMPILER_FLAGS = "all=-dwarf=false"
_PROGRESS_SECONDS = 15.0


def source_directory() -> Path:
    """Where go.mod and the program's source are in this checkout."""
    return Path(__file__).resolve().parent.parent / "programs"


def key(*, sources: Path) -> str:
    """Names a build by all that goes into it; go.mod's `go` line stands for the compiler."""
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {TAGS}".encode())
    for file in sorted([*sources.glob("*.go"), sources / "go.mod", sources / "go.sum"]):
        digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def directory(*, settings: Settings) -> Path:
    """Where the programs of this checkout's sources are, or will be."""
    return settings.cache / "programs" / key(sources=source_directory())


def require(*, settings: Settings) -> Path:
    """The programs' directory, building them first where they aren't."""
    wanted = directory(settings=settings)
    if wanted.is_dir():
        return wanted
    with locks.locked(wanted.with_suffix(".lock"), waiting_for="another build of the same programs"):
        if not wanted.is_dir():
            _build(target=wanted, settings=settings)
    return wanted


def _build(*, target: Path, settings: Settings) -> None:
    sources = source_directory()
    go_mod = (sources / "go.mod").read_text()
    go = toolchain.find(wanted=toolchain.wanted_version(go_mod=go_mod), cache=settings.cache)
    for stale in target.parent.glob(f"{target.name}.half-*"):
        shutil.rmtree(stale)
    half = target.with_name(f"{target.name}.half-{os.getpid()}")
    half.mkdir(parents=True)
    environment = toolchain.environment()
    packages = [".", *(f"github.com/containerd/containerd/v2/cmd/{name}" for name in _APART)]
    print("building Kubernetes from Go modules (once; about 6 minutes on two cores)", file=sys.stderr, flush=True)
    listed = commands.run(go, "list", "-deps", "-tags", TAGS, *packages, cwd=sources, env=environment, timeout=1800)
    options = ("-v", "-tags", TAGS, f"-gcflags={_COMPILER_FLAGS}", "-ldflags", version_flags(go_mod), "-o", f"{half}/")
    command = [str(go), "build", *options, *packages]
    with subprocess.Popen(
        command, cwd=sources, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as build:
        assert build.stderr is not None
        try:
            wrong = _follow(lines=build.stderr, total=len(listed.splitlines()))
        except BaseException:
            build.kill()
            shutil.rmtree(half, ignore_errors=True)
            raise
    if build.returncode:
        shutil.rmtree(half, ignore_errors=True)
        raise ClusterError(f"go build in cluster/programs failed: {wrong or 'it printed nothing'}")
    (half / "cluster").rename(half / "kubernetes")
    for role in _ROLES:
        (half / role).symlink_to("kubernetes")
    half.rename(target)


def kubernetes_version(go_mod: str) -> tuple[str, str, str]:
    """Major, minor and patch version of what is built."""
    found = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", go_mod)
    if not found:
        raise ClusterError("cluster/programs/go.mod requires no k8s.io/kubernetes: restore it from git")
    return found[1], found[2], found[3]


def version_flags(go_mod: str) -> str:
    """Options of the linker that give Kubernetes' programs their version."""
    major, minor, patch = kubernetes_version(go_mod)
    values = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in values.items())


def _follow(*, lines: Iterator[str], total: int) -> str:
    """Show how far the build is; returns the last line that was no package's name."""
    started = shown = time.monotonic()
    built, wrong = 0, ""
    terminal = sys.stderr.isatty()
    before, after = ("\r", "") if terminal else ("", "\n")
    for line in lines:
        # `go build -v` prints an import path as it is compiled; anything with a space or a colon is a complaint.
        if re.fullmatch(r"[\w./~+-]+\n", line):
            built += 1
        elif not line.startswith("go: downloading"):
            wrong = line.strip()
        now = time.monotonic()
        if now - shown >= (1.0 if terminal else _PROGRESS_SECONDS):
            shown = now
            elapsed = f"{int(now - started) // 60}:{int(now - started) % 60:02}"
            text = f"  {min(built, total)} of {total} packages, {elapsed}"
            print(f"{before}{text}  ", end=after, file=sys.stderr, flush=True)
    print(f"{before}  built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return wrong
