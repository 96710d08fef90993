"""Fragments that many open pages ask for at once are rendered once.

An event makes every open list of a project ask for its fragment. For those that show the same, one is rendered and the others wait
for it. What a fragment is shared by, the page that renders it says: all that it depends on, with the number of the newest event.
The token of a form belongs to one session. A placeholder stands for it in the shared text, and each answer gets its own.
"""

import secrets
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from flask import render_template
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]

KEPT_SECONDS: Final = 2.0
"""No event tells of what follows the clock, as the counts of the last 24 hours."""
MOST_KEPT: Final = 100
"""A list is some 60 kB."""


@dataclass(eq=False, slots=True)
class _Fragment:
    """One of them. The holder of the lock renders it."""

    until: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    html: str | None = None
    failed: bool = False


class SharedFragments:
    """The fragments of the last moments, by what they depend on."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, most: int = MOST_KEPT) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Fragment] = {}
        # Nothing that a run says can be taken for it.
        self._token = secrets.token_urlsafe(24)

    def get(self, key: Hashable, render: Callable[[], str]) -> str:
        """What ``render`` returned for this key within the last ``KEPT_SECONDS``, or returns now.

        Where it raises, those that wait call their own, all at once: the error may have taken long, and must not add up.
        """
        fragment = self._of(key)
        with fragment.lock:
            if fragment.html is None and not fragment.failed:
                try:
                    fragment.html = render()
                except Exception:
                    fragment.failed = True
                    raise
        return render() if fragment.html is None else fragment.html

    def template(self, key: Hashable, name: str, context: Callable[[], dict[str, object]]) -> str:
        """The same of a template, whose forms have the token of the session that asks."""

        def render() -> str:
            return render_template(name, **context(), csrf=lambda: self._token)

        return self.get(key, render).replace(self._token, generate_csrf())

    def _of(self, key: Hashable) -> _Fragment:
        now = self._clock()
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found.until > now:
                return found
            # They are in the order of their making, so the old ones come first.
            for other, kept in list(self._kept.items()):
                if kept.until > now and len(self._kept) < self._most:
                    break
                del self._kept[other]
            made = _Fragment(until=now + KEPT_SECONDS)
            self._kept[key] = made
            return made
