"""Which pods' logs are followed: a bounded number at once, the rest read when they end. A log with which following breaks is set
aside, and read on later."""

import threading
from collections.abc import Callable

import structlog

from tidegate_web.mirror.logs.pod_follower import AnyFollower
from tidegate_web.mirror.logs.writer import KIND
from tidegate_web.mirror.pods import Pod
from tidegate_web.mirror.quarantine import Quarantine

log = structlog.stdlib.get_logger(__name__)


class Followers:
    """Starts a follower for every pod, as many at once as the settings allow; pods that have ended come first."""

    def __init__(self, *, make: Callable[[Pod], AnyFollower], at_once: int, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._make = make
        self._at_once = at_once
        self._waiting: dict[str, Pod] = {}
        self._active: dict[str, AnyFollower] = {}
        self._done: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def active(self) -> list[AnyFollower]:
        """Those that are at work."""
        with self._lock:
            return list(self._active.values())

    def seen(self, pod: Pod) -> None:
        """A pod is there, has changed, or is gone."""
        with self._lock:
            follower = self._active.get(pod.uid)
            if follower is None:
                if pod.gone:
                    self._quarantine.release(KIND, pod.uid)
                    self._done.discard(pod.uid)
                    self._waiting.pop(pod.uid, None)
                elif pod.uid not in self._done and (pod.started or pod.ended):
                    self._waiting[pod.uid] = pod
        if follower is not None:
            follower.update(pod)
        self._pump()

    def forget(self, project: str) -> None:
        """Follow no pod of this namespace, until one is seen again."""
        with self._lock:
            self._waiting = {uid: pod for uid, pod in self._waiting.items() if pod.project != project}
            followers = [each for each in self._active.values() if each.project == project]
        for follower in followers:
            follower.abandon()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            followers = list(self._active.values())
        for follower in followers:
            follower.close()

    def _pump(self) -> None:
        while True:
            with self._lock:
                if self._stopped or not self._waiting or len(self._active) >= self._at_once:
                    return
                # A pod that has ended may be deleted soon; a quarter of the room is kept for such.
                ended = next((pod for pod in self._waiting.values() if pod.ended), None)
                if ended is None and len(self._active) >= max(1, self._at_once * 3 // 4):
                    return
                pod = ended or next(iter(self._waiting.values()))
                del self._waiting[pod.uid]
                follower = self._active[pod.uid] = self._make(pod)
            threading.Thread(target=self._run, args=(pod, follower), name=f"log {pod.name}", daemon=True).start()

    def _run(self, pod: Pod, follower: AnyFollower) -> None:
        failed: Exception | None = None
        try:
            follower.run()
        except Exception as error:
            failed = error
        with self._lock:
            self._active.pop(pod.uid, None)
            if not follower.abandoned:
                self._done.add(pod.uid)
        if failed is not None:
            self._quarantine.set_aside(
                KIND, pod.uid, failed, name=f"{pod.project}/{pod.name}", retry=lambda: self.again(follower.pod)
            )
        self._pump()

    def again(self, pod: Pod) -> None:
        """Read a log on that was set aside, from what is stored of it. Its end mark releases it."""
        with self._lock:
            self._done.discard(pod.uid)
            if pod.uid not in self._active:
                self._waiting[pod.uid] = pod
        self._pump()
