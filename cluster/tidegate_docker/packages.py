"""Debian's Docker engine and registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidegate_cluster.debian_packages import unpacked
from tidegate_cluster.settings import Settings

_NAMES = ("containerd", "docker.io", "docker-registry", "runc", "tini")
_PARTS = ("usr/bin", "usr/sbin")


def require(*, settings: Settings) -> Path:
    """The folder that the packages are unpacked in, filled unless it is there."""
    return unpacked(_NAMES, folder="docker", what="a Docker engine", settings=settings)


def path(root: Path) -> Sequence[str]:
    """What the packages add to PATH."""
    return [str(root / part) for part in _PARTS]
