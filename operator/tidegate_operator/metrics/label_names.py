"""Which names of users become labels: a bounded number, whatever is created.

First come, first named. A name beyond the bounds shares the series of the others of its namespace, and those of a namespace beyond
them share one. A name of which nothing was left for a while gives its place back.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

Key = tuple[str, str]
"""Namespace and name; also the labels that stand for them."""

OTHER: Final = "_other"
"""The label of what has no series of its own. No object can have this name."""
INLINE: Final = "_inline"
"""The task of a run whose task is written in it."""
MOST: Final = 200
MOST_OF_NAMESPACE: Final = 50
"""One namespace can't take the places of all."""
IDLE_SECONDS: Final = 3600.0
"""Series of an object that is gone stay for so long, so that its last counts are scraped."""
ANONYMOUS: Final = ("", "")
"""The labels of all where namespaces are left out."""


class LabelNames:
    """Labels of the objects of one kind."""

    def __init__(
        self, *, by_namespace: bool = True, most: int = MOST, most_of_namespace: int = MOST_OF_NAMESPACE
    ) -> None:
        self._by_namespace, self._most, self._most_of_namespace = by_namespace, most, most_of_namespace
        self._named: set[Key] = set()
        self._names = 0
        self._counts: Counter[str] = Counter()
        """Names by namespace."""
        self._gone_since: dict[Key, float] = {}

    def of(self, key: Key, *, exists: bool = True) -> Key:
        """The labels of an object. One that doesn't `exists` has none of its own, unless it had them before."""
        if not self._by_namespace:
            return ANONYMOUS
        if key in self._named:
            return key
        namespace, shared = key[0], (key[0], OTHER)
        if exists and self._names < self._most and self._counts[namespace] < self._most_of_namespace:
            self._counts[namespace] += 1
            self._names += 1
            self._named.add(key)
            return key
        if shared not in self._named:
            if len(self._named) - self._names >= self._most:
                return (OTHER, OTHER)
            self._named.add(shared)
        return shared

    def tidy(self, present: Collection[Key], now: float) -> Iterator[Key]:
        """The labels that stand for nothing any more, now that only these are there."""
        if not self._by_namespace:
            return
        for key in list(self._named):
            if key in present:
                self._gone_since.pop(key, None)
            elif now - self._gone_since.setdefault(key, now) >= IDLE_SECONDS:
                self._named.discard(key)
                del self._gone_since[key]
                if key[1] != OTHER:
                    self._names -= 1
                    self._counts[key[0]] -= 1
                    if not self._counts[key[0]]:
                        del self._counts[key[0]]
                yield key
