"""The dashboard's port on localhost, kept forwarded in the background until the demo is taken down."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tidegate_cluster import waiting
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.processes import Process
from tidegate_cluster.settings import Settings

from .install import NAMESPACE, RELEASE
from .kubectl import Kubectl

PORTS = range(8080, 8100)
PAUSE_SECONDS = 0.5


def start(settings: Settings) -> int:
    """Forward a free port, unless one is forwarded already; returns it when the dashboard answers on it."""
    known = _read(settings)
    if known is not None and known[0].alive:
        # After an upgrade it takes a moment to find the new pod: the address that people have open stays.
        with contextlib.suppress(ClusterError):
            waiting.until(lambda: _answers(known[1]), what=f"the dashboard on port {known[1]}", seconds=20)
            return known[1]
    end(settings)
    port = next((p for p in PORTS if _free(p)), None)
    if port is None:
        raise ClusterError(
            f"ports {PORTS.start} to {PORTS.stop - 1} are all in use: free one, and run `make demo` again"
        )
    record = _record(settings)
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.with_suffix(".log").open("wb") as log:
        # In a session of its own: Ctrl-C in the terminal of `make demo` is not meant for it.
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate_demo", "forward", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    made = Process.of(process.pid)
    if made is None:
        raise ClusterError(f"the port could not be forwarded: see {record.with_suffix('.log')}")
    record.write_text(json.dumps({"pid": made.pid, "started": made.started, "port": port}), encoding="utf-8")
    waiting.until(lambda: _answers(port), what=f"the dashboard on port {port}", seconds=30)
    return port


def end(settings: Settings) -> None:
    """Stop forwarding; fine if nothing is."""
    known = _read(settings)
    if known is not None:
        known[0].signal(signal.SIGTERM)
        with contextlib.suppress(ClusterError):
            waiting.until(lambda: not known[0].alive, what="the forwarding to end", seconds=5)
    for path in (_record(settings), _record(settings).with_suffix(".log")):
        path.unlink(missing_ok=True)


def keep(kubectl: Kubectl, *, port: int) -> None:
    """Forward for ever: kubectl's own ends with the pod that it was led to."""
    child: subprocess.Popen[bytes] | None = None
    try:
        while True:
            child = kubectl.spawn("-n", NAMESPACE, "port-forward", f"svc/{RELEASE}-web", f"{port}:80")
            child.wait()
            time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        if child is not None:
            child.terminate()
            child.wait()


def _record(settings: Settings) -> Path:
    return settings.state / "demo-forward.json"


def _read(settings: Settings) -> tuple[Process, int] | None:
    try:
        found = json.loads(_record(settings).read_text(encoding="utf-8"))
        return Process(pid=found["pid"], started=found["started"]), found["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections of an earlier demo don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
