"""``progress(0.4, "resizing")``: tells people how far a run is. It never slows or breaks a task.

A thread sends the newest state at most twice a second; states in between are dropped. Without the web part there is nobody
to tell: one warning in the log, and the run works without.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, Optional

_INTERVAL = 0.5
_TIMEOUT = 5.0
_FLUSH_SECONDS = 2.0


class Reporter:
    """Sends the newest progress of one run."""

    def __init__(self, *, url: str, token_file: str) -> None:
        self._url, self._token_file = url, token_file
        self._newest: Optional[dict[str, Any]] = None
        self._changed = threading.Condition()
        self._sending = False
        self._warned = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tidegate-progress", daemon=True)
        self._thread.start()

    def report(self, state: dict[str, Any]) -> None:
        """Have a state sent, unless a newer one comes first."""
        with self._changed:
            self._newest = state
            self._changed.notify_all()

    def close(self) -> None:
        """Let the last state go out, within a bound of time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._newest is None and not self._sending, timeout=_FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                state, self._newest = self._newest, None
                if state is None:
                    return
                self._sending = True
            self._send(state)
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                if not self._closed:
                    self._changed.wait_for(lambda: self._closed, timeout=_INTERVAL)

    def _send(self, state: dict[str, Any]) -> None:
        # Imported here: a task that reports nothing pays nothing.
        import urllib.request

        try:
            with open(self._token_file, encoding="ascii") as file:  # the kubelet renews it
                token = file.read().strip()
            request = urllib.request.Request(
                self._url,
                data=json.dumps(state).encode(),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                method="POST",
            )
            with urllib.request.urlopen(request, timeout=_TIMEOUT):
                pass
        except (OSError, ValueError) as error:
            if not self._warned:
                self._warned = True
                sys.stderr.write(f"tidegate: progress can't be told: {error}\n")


class _Channel:
    """The reporter of this process, made at the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reporter: Optional[Reporter] = None
        self._warned = False

    def report(self, state: dict[str, Any]) -> None:
        with self._lock:
            if self._reporter is None and not self._warned:
                url, uid = os.environ.get("TIDEGATE_API_URL"), os.environ.get("TIDEGATE_RUN_UID")
                if url and uid:
                    self._reporter = Reporter(
                        url=f"{url.rstrip('/')}/internal/v1/runs/{uid}/progress",
                        token_file=os.environ.get("TIDEGATE_TOKEN_FILE", ""),
                    )
                else:
                    self._warned = True
                    sys.stderr.write("tidegate: no web part is installed, progress is told to nobody\n")
            if self._reporter is not None:
                self._reporter.report(state)

    def close(self) -> None:
        with self._lock:
            if self._reporter is not None:
                self._reporter.close()
                self._reporter = None


# One a process, as a pod runs one task: what a task calls by a bare name needs somewhere to go.
_channel = _Channel()


def progress(fraction: float, message: str = "") -> None:
    """Tell how far the run is: ``fraction`` from 0 to 1, and a few words."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    _channel.report({"progress": fraction, "message": message[:200]})


def close() -> None:
    """Send what is left. Called by the runner at the end of a task."""
    _channel.close()
