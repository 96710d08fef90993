"""How a stage's tests are dealt out to the processes of pytest-xdist: a file's tests stay together, for they share what its
module's fixtures have made, and what takes longest begins first, so that no process is left with it at the end.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class Spread(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's own dealer by files, but for ``parts``, files that are worth setting up so many times, each of whose tests stands
    alone; and ``together``, files that one process runs one after the other."""

    def __init__(
        self,
        config: pytest.Config,
        log: object,
        *,
        parts: Mapping[str, int] | None = None,
        together: Collection[str] = (),
    ) -> None:
        super().__init__(config, log)
        self._parts = parts or {}
        self._together = together

    def _split_scope(self, nodeid: str) -> str:
        stem = PurePath(nodeid.partition("::")[0]).stem
        if stem in self._together:
            return "together"
        if stem in self._parts:
            return f"{stem}-{zlib.crc32(nodeid.encode()) % self._parts[stem]}"
        return stem


def order(items: list[pytest.Item], *, longest: Sequence[str] = (), last: Sequence[str] = ()) -> None:
    """Put some files first and some last; the others stay between them as they are."""
    places = {name: place for place, name in enumerate(longest)} | {name: 1000 + p for p, name in enumerate(last)}
    items.sort(key=lambda item: places.get(item.path.stem, len(longest)))
