"""A thread that says that it makes progress."""

import threading

from support.servers import wait_until
from tidegate_web.shared.worker import Worker, beat_here


class Sleeper(Worker):
    """Does what it is asked to."""

    def __init__(self, *, beats: bool = False, ends: bool = False) -> None:
        super().__init__(name="sleeper", stop=threading.Event(), patience_seconds=1)
        self._beats, self._ends = beats, ends

    def work(self) -> None:
        if self._ends:
            raise RuntimeError("too bad")
        while not self.stop_event.wait(0.001):
            if self._beats:
                beat_here()


def test_trouble() -> None:
    well, silent, ended = Sleeper(beats=True), Sleeper(), Sleeper(ends=True)
    assert well.trouble() is None  # before it begins
    for worker in (well, silent, ended):
        worker.start()
    wait_until(lambda: silent.trouble() is not None, what="its silence to be seen")
    assert "no progress" in (silent.trouble() or "")
    assert well.trouble() is None
    ended.join()
    assert ended.trouble() == "thread sleeper has ended"
    for worker in (well, silent, ended):
        worker.stop_event.set()
        worker.join()
        assert worker.trouble() is None
