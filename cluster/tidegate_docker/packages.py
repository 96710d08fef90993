"""Debian's Docker engine and registry, unpacked in a folder of the cache: installing them would start them on the host."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate_cluster import commands, locks
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings

_NAMES = ("containerd", "docker.io", "docker-registry", "runc", "tini")
_PARTS = ("usr/bin", "usr/sbin")


def require(*, settings: Settings) -> Path:
    """The folder that the packages are unpacked in, filled unless it is there."""
    target = settings.cache / "docker" / _key()
    if target.is_dir():
        return target
    with locks.locked(target.with_suffix(".lock"), waiting_for="another download of the Docker engine"):
        if not target.is_dir():
            _unpack(target)
    return target


def path(root: Path) -> Sequence[str]:
    """What the packages add to PATH."""
    return [str(root / part) for part in _PARTS]


def _key() -> str:
    release = Path("/etc/debian_version").read_text() if Path("/etc/debian_version").exists() else ""
    return hashlib.sha256(f"{_NAMES} {release} {platform.machine()}".encode()).hexdigest()[:16]


def _unpack(target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ClusterError("a Docker engine of our own is made of Debian packages: start Docker, or run this on Debian")
    print("fetching Debian's Docker engine", file=sys.stderr, flush=True)
    half = target.with_name(f"{target.name}.half-{os.getpid()}")
    archives = half.with_name(f"{half.name}-archives")
    try:
        for directory in (half, archives):
            directory.mkdir(parents=True)
        commands.run("apt-get", "download", *_NAMES, cwd=archives, timeout=1800)
        for archive in sorted(archives.glob("*.deb")):
            commands.run("dpkg", "-x", archive, half)
        half.rename(target)
    finally:
        for directory in (half, archives):
            shutil.rmtree(directory, ignore_errors=True)
