"""A cgroup for each node, under which its kubelet puts pods: two kubelets in one would end each other's."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from . import waiting

_ROOT = Path("/sys/fs/cgroup")


def create(name: str) -> None:
    """Make the cgroup in every hierarchy."""
    for hierarchy in _hierarchies():
        if (hierarchy / "cgroup.subtree_control").exists():
            # Version 2: a group has only the controllers that its parent hands on.
            _hand_on_controllers(hierarchy)
        (hierarchy / name).mkdir(exist_ok=True)
        if (hierarchy / name / "cgroup.subtree_control").exists():
            _hand_on_controllers(hierarchy / name)


def remove(name: str) -> None:
    """Remove it with all groups in it, once their processes are gone."""
    waiting.until(lambda: not _left(name), what=f"cgroup {name} to empty", seconds=30)


def _left(name: str) -> Sequence[Path]:
    for hierarchy in _hierarchies():
        top = hierarchy / name
        for directory in [*sorted(_below(top), reverse=True), top] if top.exists() else []:
            with contextlib.suppress(OSError):
                directory.rmdir()
    return [hierarchy / name for hierarchy in _hierarchies() if (hierarchy / name).exists()]


def _below(top: Path) -> list[Path]:
    return [path for path in top.rglob("*") if path.is_dir()]


def _hand_on_controllers(directory: Path) -> None:
    for controller in (directory / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return sorted({path.resolve() for path in _ROOT.iterdir() if (path / "cgroup.procs").exists()})
