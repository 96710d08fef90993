"""Debian packages unpacked in a folder of the cache: installing them would need root, and start their services on the host."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import commands, locks
from .errors import ClusterError
from .settings import Settings


def unpacked(names: Sequence[str], *, folder: str, what: str, settings: Settings) -> Path:
    """Where these packages are unpacked, below `folder` of the cache; they are fetched unless they are there."""
    target = settings.cache / folder / _key(names)
    if target.is_dir():
        return target
    with locks.locked(target.with_suffix(".lock"), waiting_for=f"another download of {what}"):
        if not target.is_dir():
            _unpack(names, target, what)
    return target


def _key(names: Sequence[str]) -> str:
    release = Path("/etc/debian_version").read_text() if Path("/etc/debian_version").exists() else ""
    return hashlib.sha256(f"{tuple(names)} {release} {platform.machine()}".encode()).hexdigest()[:16]


def _unpack(names: Sequence[str], target: Path, what: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ClusterError(f"{what} is made of Debian packages ({', '.join(names)}): run this on Debian")
    print(f"fetching {what} of Debian", file=sys.stderr, flush=True)
    half = target.with_name(f"{target.name}.half-{os.getpid()}")
    archives = half.with_name(f"{half.name}-archives")
    try:
        for directory in (half, archives):
            directory.mkdir(parents=True)
        commands.run("apt-get", "download", *names, cwd=archives, timeout=1800)
        for archive in sorted(archives.glob("*.deb")):
            commands.run("dpkg", "-x", archive, half)
        half.rename(target)
    finally:
        for directory in (half, archives):
            shutil.rmtree(directory, ignore_errors=True)
