"""How many versions of an archive stay in the cache: each may take hundreds of megabytes."""

from __future__ import annotations

from pathlib import Path

_KEPT = 3  # going back and forth between two branches builds nothing


def prune(newest: Path) -> None:
    """Remove the oldest archives that are called like this one up to the last hyphen."""
    name = newest.name.rpartition("-")[0]
    versions = sorted(newest.parent.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)
    for old in versions[:-_KEPT]:
        old.unlink(missing_ok=True)
