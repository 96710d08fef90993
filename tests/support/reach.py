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
_DIAL = """
command -v timeout >/dev/null || { echo "no timeout here" >&2; exit 1; }
while [ $# -gt 0 ]; do
  { timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "$1 $2"; } &
  shift 2
done
wait
"""
_ASK = """
import json, sys, urllib.error, urllib.request

def status(url):
    try:
        return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code

asked = json.loads(sys.argv[1])
print(json.dumps({name: status(url) for name, url in asked.items()}))
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
        # A container without bash fails here: it would seem to have all doors closed.
        dialled = [str(word) for target in targets.values() for word in target]
        taken = self._run("bash", "-c", _DIAL, "dial", *dialled).splitlines()
        return {name: f"{host} {port}" in taken for name, (host, port) in targets.items()}

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

    def answers(self, urls: Mapping[str, str]) -> dict[str, int]:
        """The HTTP statuses that URLs are answered with."""
        found: dict[str, int] = json.loads(self._run("python", "-c", _ASK, json.dumps(urls)))
        return found

    def resolves(self, name: str) -> bool:
        """Whether a name has an address there."""
        try:
            self._run("python", "-c", "import socket, sys; socket.getaddrinfo(sys.argv[1], 80)", name)
        except ClusterError:
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
