"""Pools on a control plane: the apiserver, its controllers and the operator are real, and so are the workers, as processes.

What stands in is the node: a pod's containers are processes that the test starts, kills and starts again, and it writes into the
pod's status what a kubelet would.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from tidegate_api.names import POOL_LABEL

from support.environment import coverage_variables
from support.kube import HTTPError
from support.operator import OperatorProcess, OwnRuns
from support.runner import RUNNER
from support.servers import free_port, wait_until
from support.worker import text_of

__all__ = ["Node", "PoolProcess", "pooled_operator", "text_of", "with_secret"]

Json = dict[str, Any]
SECRET = "tidegate-dispatch"
TASKS = """
import json, os, pathlib, signal, sys, time
from tidegate import AbortRun, RetryAfter, current_run

def double(number): return number * 2
def fail(): raise ValueError("no good")
def abort(): raise AbortRun("for good")
def die(): os.kill(os.getpid(), signal.SIGKILL)
def sleep(seconds): time.sleep(seconds)
def big(size): return "x" * size
def who(): return {k: v for k, v in os.environ.items() if k.startswith("TIDEGATE_") or k in ("A", "B")}
def log_line(path, line):
    with open(path, "a") as file:
        file.write(line + "\\n")
def attempt(path):
    log_line(path, os.environ["TIDEGATE_ATTEMPT"])
    if os.environ["TIDEGATE_ATTEMPT"] == "1":
        raise ValueError("first")
    return os.environ["TIDEGATE_ATTEMPT"]
def wait_for(path, mark):
    log_line(mark, "begin")
    while not os.path.exists(path):
        time.sleep(0.02)
    log_line(mark, "end")
    return "seen"
"""


def with_secret(runs: OwnRuns) -> None:
    """The Secret that the chart makes empty."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": "default"},
        "type": "Opaque",
    }
    with suppress(HTTPError):
        runs.kube.create(body)


def dispatch_settings(port: int) -> dict[str, str]:
    """Of an operator whose workers reach it on this port."""
    return {"dispatch_address": f"localhost:{port}", "dispatch_port": str(port), "dispatch_secret": SECRET}


def pooled_operator(plane: Any, *, log: Path, port: int, **settings: str) -> OperatorProcess:
    """An operator with a dispatch port."""
    return OperatorProcess(plane, log=log, **dispatch_settings(port), **settings)


@dataclass
class PoolProcess:
    """The container `worker` of a pod, as a process."""

    pod: Json
    folder: Path
    variables: Json = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def name(self) -> str:
        """Of its pod."""
        name: str = self.pod["metadata"]["name"]
        return name

    def signal(self, number: int) -> None:
        """Send the main process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def output(self) -> str:
        """Its log."""
        return (self.folder / "log").read_text(encoding="utf-8")


class Node:
    """Runs the worker pods of one namespace."""

    def __init__(self, runs: OwnRuns, folder: Path, *, tasks: str = "") -> None:
        """`tasks`: the module of that name, which the pool's image has."""
        self._runs, self._folder = runs, folder
        folder.mkdir(exist_ok=True)
        (folder / "tasks.py").write_text(tasks, encoding="utf-8")
        self._instances = 0
        self.workers: dict[str, PoolProcess] = {}

    def pods(self, pool: str) -> list[Json]:
        """The live pods of a pool."""
        found = self._runs.listed("pods", f"{POOL_LABEL}={pool}")
        return [p for p in found if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]]

    def run_all(self, pool: str, count: int = 1, **variables: str) -> list[PoolProcess]:
        """Start the container of each pod of the pool, once there are so many."""
        wait_until(lambda: len(self.pods(pool)) == count, what=f"{count} pods of pool {pool}")
        return [self.start(pod, **variables) for pod in self.pods(pool)]

    def wait_slots(self, pool: str, count: int) -> None:
        """Until the pool's status says that it has so many slots."""

        def there() -> bool:
            status = self._runs.get(pool, kind="workerpools.tidegate.dev").get("status") or {}
            return bool(status.get("slots") == count)

        wait_until(there, what=f"{count} slots of pool {pool}")

    def start(self, pod: Json, **variables: str) -> PoolProcess:
        """Start the container of a pod: anew where it ran before."""
        made = PoolProcess(pod, self._folder / pod["metadata"]["name"], variables)
        made.folder.mkdir(exist_ok=True)
        (made.folder / "token").write_text(self._token(pod))
        (made.folder / "ca.crt").write_text(pod["metadata"]["annotations"]["tidegate.dev/dispatch-ca"])
        with (made.folder / "log").open("ab") as log:
            made.process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.worker"],
                cwd=made.folder,
                env=self._environment(made),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._instances += 1
        self.report(pod, running=f"{self._instances:04}")
        self.workers[pod["metadata"]["uid"]] = made
        return made

    def report(self, pod: Json, *, running: str | None, ended: Json | None = None) -> None:
        """Write the status of a pod's container, as its kubelet would. `running`: which instance runs."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        uid = pod["metadata"]["uid"].replace("-", "")
        status: Json = {
            "name": "worker",
            "image": "worker",
            "imageID": "",
            "ready": running is not None,
            "restartCount": self._instances,
            "state": {"running": {"startedAt": now}}
            if running is not None
            else {"waiting": {"reason": "CrashLoopBackOff"}},
        }
        if running is not None:
            status["containerID"] = f"fake://{running}{uid}"
        if ended is not None:
            status["lastState"] = {"terminated": ended}
        body = {"status": {"containerStatuses": [status]}}
        self._runs.kube.patch("pods", pod["metadata"]["name"], body, subresource="status")

    def container_of(self, pod: Json) -> str:
        """The id of the container that runs in a pod."""
        status = self._runs.get(pod["metadata"]["name"], kind="pods")["status"]
        ident: str = status["containerStatuses"][0]["containerID"]
        return ident

    def kill(self, worker: PoolProcess, *, reason: str = "Error") -> None:
        """The container ends by SIGKILL, with all its processes; the node reports it."""
        ident = self.container_of(worker.pod)
        self.end(worker)
        ended = {"exitCode": 137, "reason": reason, "containerID": ident, "startedAt": None, "finishedAt": None}
        self.report(worker.pod, running=None, ended={k: v for k, v in ended.items() if v is not None})

    def end(self, worker: PoolProcess) -> None:
        """The same, and the node says nothing yet."""
        if worker.process is not None and worker.process.poll() is None:
            kill_tree(worker.process.pid)
            worker.process.wait(10)

    def _token(self, pod: Json) -> str:
        ref = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec = {"audiences": ["tidegate"], "boundObjectRef": ref, "expirationSeconds": 3600}
        made = self._runs.kube.post("serviceaccounts", "default", "token", {"spec": spec})
        token: str = made["status"]["token"]
        return token

    def _environment(self, worker: PoolProcess) -> dict[str, str]:
        (container,) = (c for c in worker.pod["spec"]["containers"] if c["name"] == "worker")
        given = {e["name"]: e.get("value", "") for e in container["env"]}
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **coverage_variables(),
            "PYTHONPATH": f"{RUNNER}:{self._folder}",
            "PYTHONDONTWRITEBYTECODE": "1",
            **given,
            "TIDEGATE_DISPATCH_CA_FILE": str(worker.folder / "ca.crt"),
            "TIDEGATE_DISPATCH_TOKEN_FILE": str(worker.folder / "token"),
            "TIDEGATE_POOL_DIRECTORY": str(worker.folder / "runs"),
            "TIDEGATE_POOL_TERMINATION_LOG": str(worker.folder / "termination-log"),
            "TIDEGATE_POOL_PORT": str(free_port()),
            **worker.variables,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            if worker.process is not None and worker.process.poll() is None:
                with suppress(ProcessLookupError):
                    worker.process.send_signal(signal.SIGCONT)
                self.end(worker)


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all below it, as the end of a container does."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                stat = (entry / "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    waiting, found = [pid], []
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    for one in found:
        with suppress(ProcessLookupError):
            # Stopped first, so that none forks while the others end.
            os_kill(one, signal.SIGSTOP)
    for one in found:
        with suppress(ProcessLookupError):
            os_kill(one, signal.SIGKILL)


def os_kill(pid: int, number: int) -> None:
    """Send a signal."""
    import os

    os.kill(pid, number)


@contextmanager
def node_of(runs: OwnRuns, folder: Path, *, tasks: str) -> Iterator[Node]:
    """A node for the pools of a namespace."""
    with Node(runs, folder, tasks=tasks) as made:
        yield made


def worker_of(node: Node) -> PoolProcess:
    """The only worker of a node."""
    (worker,) = node.workers.values()
    return worker


def pool_status(runs: OwnRuns, name: str = "warm") -> dict[str, Any]:
    """What a pool says of itself."""
    status: dict[str, Any] = runs.get(name, kind="workerpools.tidegate.dev").get("status") or {}
    return status
