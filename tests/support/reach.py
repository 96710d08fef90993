"""What a pod can connect to: asked from within it, by Python or by a shell."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_cluster.errors import ClusterError
from tidegate_demo.kubectl import Kubectl

from support.builders import EXAMPLES
from support.servers import wait_until

Json = dict[str, Any]
Target = tuple[str, int]
SECONDS = 60.0
"""What enforces the policies has seen a new pod by then."""
_TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def is_open(target):
    try:
        with socket.create_connection(tuple(target), timeout=3):
            return True
    except OSError:
        return False

asked = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(asked)) as pool:
    print(json.dumps(dict(zip(asked, pool.map(is_open, asked.values())))))
"""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """A container of a pod that runs, from which connections are tried."""

    kubectl: Kubectl
    namespace: str
    pod: str
    container: str
    has_python: bool = True

    def reached(self, targets: Mapping[str, Target]) -> dict[str, bool]:
        """Which of the targets take a connection."""
        if self.has_python:
            said = self._run("python", "-c", _TRY, json.dumps(targets))
            found: dict[str, bool] = json.loads(said)
            return found
        return {name: self._dials(*target) for name, target in targets.items()}

    def expect(self, targets: Mapping[str, Target], *, open_: frozenset[str]) -> None:
        """Wait until those alone that are named take connections, or say which don't behave."""
        unknown = open_ - targets.keys()
        assert not unknown, f"no targets: {unknown}"
        wrong: list[str] = []

        def is_so() -> bool:
            found = self.reached(targets)
            wrong[:] = [
                f"{name} is {'open' if value else 'closed'}"
                for name, value in found.items()
                if value != (name in open_)
            ]
            return not wrong

        try:
            wait_until(is_so, seconds=SECONDS, what=f"what {self.pod} may connect to")
        except AssertionError as error:
            raise AssertionError(f"from {self.namespace}/{self.pod}: {', '.join(wrong)}") from error

    def resolves(self, name: str) -> bool:
        """Whether a name has an address there."""
        try:
            self._run("python", "-c", "import socket, sys; socket.getaddrinfo(sys.argv[1], 80)", name)
        except ClusterError:
            return False
        return True

    def _dials(self, host: str, port: int) -> bool:
        try:
            self._run("timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}")
        except ClusterError as error:
            if "not found" in str(error):  # a container without bash would seem to have all doors closed
                raise
            return False
        return True

    def _run(self, *command: str) -> str:
        return self.kubectl("-n", self.namespace, "exec", self.pod, "-c", self.container, "--", *command)


def prober(name: str, *, namespace: str, serves: int = 0) -> Json:
    """A pod to try connections from, which answers at a port itself if that is asked for."""
    command = ["python", "-m", "http.server", str(serves), "--bind", "::"] if serves else ["sleep", "100000"]
    container = {
        "name": "main",
        "image": EXAMPLES,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
