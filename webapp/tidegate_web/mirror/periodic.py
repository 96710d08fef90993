"""A worker that looks at everything now and then, and isn't kept from the rest by one project with which that breaks."""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.worker import Worker
from tidegate_web.store.engine import is_unavailable

log = structlog.stdlib.get_logger(__name__)


class PeriodicWorker(Worker):
    """Calls ``look``, waits, and calls it again."""

    def __init__(
        self,
        *,
        name: str,
        quarantine: Quarantine,
        stop: threading.Event,
        seconds: float,
        patience_seconds: float,
    ) -> None:
        """``patience_seconds``: how long one step of a look may take."""
        super().__init__(name=name, stop=stop, patience_seconds=seconds + patience_seconds)
        self._quarantine = quarantine
        self._seconds = seconds

    def look(self) -> None:
        """Once over everything; to be written by each kind of worker."""
        raise NotImplementedError

    def work(self) -> None:
        while not self.stop_event.is_set():
            self.beat()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("looking later", worker=self.name, reason=str(error).partition("\n")[0])
            except Exception:
                log.exception("a look has failed", worker=self.name)
            self.stop_event.wait(self._seconds)

    def _each(self, kind: str, name: str, act: Callable[[], None]) -> None:
        """Do it to one month or one project; the others don't wait for one with which that breaks."""
        self.beat()
        try:
            act()
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and is_unavailable(error):
                log.warning("looking later", worker=self.name, of=name, reason=str(error).partition("\n")[0])
            else:
                self._quarantine.set_aside(kind, name, error, name=name)
        else:
            self._quarantine.release(kind, name)
