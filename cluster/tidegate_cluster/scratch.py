"""Folders for servers whose data is not needed afterwards: in memory where there is plenty, for making a thousand small files
takes a disk ten times as long.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
_NEEDED = 8 << 30


def make(prefix: str, *, memory: Path = _IN_MEMORY, needed: int = _NEEDED) -> Path:
    """A new folder of this user's own; the caller removes it. TMPDIR, where it is set, decides."""
    there = not os.environ.get("TMPDIR") and min(_free(memory), _available()) >= needed
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if there else None))


def _free(folder: Path) -> int:
    """Bytes that may be written there."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize if os.access(folder, os.W_OK) else 0


def _available() -> int:
    """Bytes of memory that programs may still have."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else 0
