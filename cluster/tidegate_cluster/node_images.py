"""Images in a node's containerd."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import commands
from .errors import ClusterError
from .machine import Machine


def ctr() -> Sequence[str]:
    """How containerd is asked for what the kubelet sees."""
    return ("ctr", "--namespace=k8s.io")


def answers(machine: Machine) -> bool:
    """Whether containerd takes requests."""
    try:
        machine.run(*ctr(), "version")
    except ClusterError:
        return False
    return True


def import_archive(machine: Machine, path: Path) -> None:
    """Bring an archive in."""
    try:
        with path.open("rb") as content:
            import_stream(machine, content.fileno())
    except OSError as error:
        raise ClusterError(f"can't read image archive {path}: {error.strerror}") from error
    except ClusterError as error:
        raise ClusterError(f"can't import {path}: {error}") from error


def import_stream(machine: Machine, content: int) -> None:
    """Bring in what can be read from a descriptor."""
    with machine.popen(*ctr(), "images", "import", "-", stdin=content, stdout=subprocess.DEVNULL) as importing:
        _, complaints = importing.communicate()
    if importing.returncode:
        raise ClusterError(commands.last_line(complaints.decode(errors="replace")))
