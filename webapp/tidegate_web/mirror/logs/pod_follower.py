"""What every reader of one pod's log has: the pod as it was seen last, an end to its reading, and waits that end with it."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.mirror.pods import Pod

T = TypeVar("T")


class Closable(Protocol):
    """A reading that can be ended from any thread."""

    def close(self) -> None: ...


Reading = TypeVar("Reading", bound=Closable)


class StoppedError(Exception):
    """The mirror stops: leave everything for the next one."""


class PodFollower(ABC, Generic[Reading]):
    """Reads the log of one pod to its end, in a thread of its own. Other threads call the other methods."""

    def __init__(self, pod: Pod, *, engine: Engine, stop: threading.Event) -> None:
        self._pod, self._engine, self._stop_event = pod, engine, stop
        self._news, self._abandoned = threading.Event(), threading.Event()
        self._reading: Reading | None = None

    @abstractmethod
    def run(self) -> None:
        """Read until the end of the log, or until the mirror stops."""

    @abstractmethod
    def update(self, pod: Pod) -> None:
        """The pod has changed."""

    def look(self) -> None:
        """See whether the node has begun a file that the reader doesn't know of. Nothing is to be seen by default."""

    @property
    def pod(self) -> Pod:
        """As it was seen last."""
        return self._pod

    @property
    def project(self) -> str:
        """Its namespace."""
        return self._pod.project

    @property
    def abandoned(self) -> bool:
        """Whether the log was left as it is."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Leave the log as it is: its end can't be seen from here any more."""
        self._abandoned.set()
        self.close()

    def close(self) -> None:
        """End a read that waits."""
        self._news.set()
        reading = self._reading
        if reading is not None:
            reading.close()

    def _wait(self, seconds: float) -> None:
        """Wait so long, or until the pod has changed."""
        self._news.wait(seconds)
        self._news.clear()
        self._go_on()

    def _go_on(self) -> None:
        """Raise StoppedError where nothing more is to be read."""
        if self._stop_event.is_set() or self.abandoned:
            raise StoppedError

    def _ask(self, question: Callable[[], T]) -> T:
        """The answer of Postgres, once it answers."""
        delay = 0.2
        while True:
            try:
                return question()
            except SQLAlchemyError:
                self._wait(delay)
                delay = min(delay * 2, 2)


AnyFollower = PodFollower[Any]
"""Whatever it reads by."""
