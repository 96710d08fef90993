"""A cache to be fed by hand, and the runs that each feeding says have to be looked at."""

from collections.abc import Callable
from typing import Any, cast

from tidegate_api.objects import KubeObject
from tidegate_operator.state.cache import KINDS, Cache
from tidegate_operator.state.keys import Key

Json = dict[str, Any]


def a_cache(*, now: float, at_once: bool = False) -> Cache:
    """A cache at a fixed time. `at_once`: everything has been listed already."""
    cache = Cache(clock=lambda: now)
    if at_once:
        listed_whole(cache)
    return cache


def listed_whole(cache: Cache) -> None:
    """Everything has been handed in once."""
    for kind in KINDS:
        cache.synced(kind)


def touched(cache: Cache, act: Callable[[], None], *, kind: str = "taskruns") -> tuple[str, ...]:
    """The keys of `kind` that have to be looked at after `act`, each once."""
    heard: dict[Key, None] = {}
    before = cache.on_change
    cache.on_change = lambda key: heard.setdefault(key)
    try:
        act()
    finally:
        cache.on_change = before
    return tuple(ident for found, ident in heard if found == kind)


def saw(cache: Cache, kind: str, body: Json) -> tuple[str, ...]:
    """Hand an object in; the runs that have to be looked at."""
    return touched(cache, lambda: cache.upserted(kind, cast("KubeObject", body)))


def lost(cache: Cache, kind: str, body: Json) -> tuple[str, ...]:
    """An object is gone, or has left its watch's selector; the runs that have to be looked at."""
    return touched(cache, lambda: cache.deleted(kind, cast("KubeObject", body)))
