"""Looks after the logs that are being followed: has the node begun a file that their readers don't know of?"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from tidegate_web.mirror.logs.pod_follower import AnyFollower
from tidegate_web.shared.worker import Worker

SECONDS = 1.0
AT_ONCE = 8
"""Looks at once: a node that doesn't answer keeps one for 5 s."""

log = structlog.stdlib.get_logger(__name__)


class RotationMonitor(Worker):
    """Has each follower look, again and again."""

    def __init__(self, *, followers: Callable[[], Iterable[AnyFollower]], stop: threading.Event) -> None:
        super().__init__(name="log lookout", stop=stop)
        self._followers = followers

    def work(self) -> None:
        looking: dict[AnyFollower, Future[None]] = {}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="log look") as pool:
            while not self.stop_event.wait(SECONDS):
                self.beat()
                looking = {follower: look for follower, look in looking.items() if not self._ended(look)}
                for follower in self._followers():
                    if follower not in looking:
                        looking[follower] = pool.submit(follower.look)
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _ended(look: Future[None]) -> bool:
        if look.done() and look.exception() is not None:
            log.error("looking after a log", exc_info=look.exception())
        return look.done()
