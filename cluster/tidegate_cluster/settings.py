"""Where things live outside the repository: what can be made again (cache) and what belongs to running clusters (state)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The places and numbers that a user may change by environment variables."""

    cache: Path
    """Programs, images and locks; TIDEGATE_CACHE, else tidegate/ in XDG_CACHE_HOME, else ~/.cache/tidegate."""
    state: Path
    """One directory a cluster; TIDEGATE_STATE, else /var/lib/tidegate for root and ~/.local/state/tidegate for others."""
    first_network: int
    """Clusters take 10.N.0.0/16 with N from here on; TIDEGATE_NETWORK."""

    node_image: str = ""
    """What kind makes nodes of, in place of its own default; TIDEGATE_KIND_IMAGE."""

    @property
    def clusters(self) -> Path:
        return self.state / "clusters"

    @property
    def locks(self) -> Path:
        # Not in the state: a lock file that is removed with its cluster would let two callers lock different files.
        return self.cache / "locks"


def from_environment() -> Settings:
    """Read the settings of this process."""
    home = Path.home()
    cache = os.environ.get("TIDEGATE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "tidegate"
    state: str | Path | None = os.environ.get("TIDEGATE_STATE")
    if not state and os.geteuid() == 0:
        state = "/var/lib/tidegate"
    elif not state:
        state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / "tidegate"
    return Settings(
        cache=Path(cache).absolute(),
        state=Path(state).absolute(),
        first_network=int(os.environ.get("TIDEGATE_NETWORK") or 200),
        node_image=os.environ.get("TIDEGATE_KIND_IMAGE") or "",
    )
