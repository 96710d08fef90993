"""Routes that are compiled once a process of tests.

Most web tests make an app of their own. werkzeug compiles what builds a route's address (`url_for`) each time, for each of 130
routes: a quarter of the CPU of the web stage. The compiled function depends on the route alone.
"""

from collections.abc import Callable, Hashable
from typing import Any

from werkzeug.routing import Rule


def compile_once() -> None:
    """Keep what werkzeug compiles. Doing it again changes nothing."""
    compiled = Rule._compile_builder
    if getattr(compiled, "kept", False):
        return
    kept: dict[Hashable, Callable[..., tuple[str, str]]] = {}

    def once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        converters = tuple(sorted((name, type(one)) for name, one in self._converters.items()))
        defaults = tuple(sorted((self.defaults or {}).items()))
        key = (self.rule, self.host, self.subdomain, repr(converters), repr(defaults), append_unknown)
        if key not in kept:
            kept[key] = compiled(self, append_unknown)
        return kept[key]

    once.kept = True  # type: ignore[attr-defined]
    patched: Any = once
    Rule._compile_builder = patched  # type: ignore[method-assign]
