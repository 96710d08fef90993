"""How a stage's tests are dealt out to the processes of pytest-xdist: a file's tests stay together, for they share what its
module's fixtures have made, and what takes longest begins first, so that no process is left with it at the end.
"""

from collections.abc import Mapping, Sequence

import pytest


def spread(items: list[pytest.Item], *, longest: Sequence[str], parts: Mapping[str, int] | None = None) -> None:
    """Name a group for each test, and put the longest files first. ``parts``: files that are worth setting up more than once,
    so many times; each of their tests stands alone."""
    shares = parts or {}
    order = {name: place for place, name in enumerate(longest)}
    seen: dict[str, int] = {}
    group: dict[pytest.Item, str] = {}
    for item in items:
        stem = item.path.stem
        number = seen[stem] = seen.get(stem, -1) + 1
        group[item] = f"{stem}-{number % shares[stem]}" if stem in shares else stem
        item.add_marker(pytest.mark.xdist_group(group[item]))
    items.sort(key=lambda item: (order.get(item.path.stem, len(order)), item.path.stem, group[item]))
