"""The operator as a process, against a control plane: to be started, killed and started again."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import yaml
from tidegate_cluster.control_plane import ControlPlane

from support import fork_server
from support.kube import NO_ANSWER, Kube
from support.servers import PATIENCE, wait_until

Json = dict[str, Any]
CRDS = Path(__file__).resolve().parents[2] / "crds"


def install_crds(plane: ControlPlane) -> None:
    """Apply the CRDs and their admission policy, and wait until they are served."""
    kube = Kube(plane.kubeconfig())
    for manifest in crd_manifests():
        kube.apply(manifest)
    wait_served(plane)


@cache
def crd_manifests() -> tuple[Json, ...]:
    """What `crds/` has: read once a process, for it is long."""
    texts = (file.read_text(encoding="utf-8") for file in sorted(CRDS.glob("*.yaml")))
    return tuple(manifest for text in texts for manifest in yaml.load_all(text, Loader=yaml.CSafeLoader))


def wait_served(plane: ControlPlane) -> None:
    """Until our kinds can be listed: established, or just started, an apiserver may still answer "initializing"."""
    kube = Kube(plane.kubeconfig())
    for kind in ("taskruns", "tasks", "queues", "schedules", "workerpools"):
        wait_until(partial(_listable, kube, f"{kind}.tidegate.dev"), what=f"{kind} to be served")


def _listable(kube: Kube, kind: str) -> bool:
    try:
        kube.listed(kind)
    except NO_ANSWER:
        return False
    return True


class HasKubeconfig(Protocol):
    """Anything that leads to an apiserver: a control plane, or a proxy in front of one."""

    def kubeconfig(self, actor: str = "admin") -> Path:
        """An actor's kubeconfig."""


LAUNCH = f"""
{fork_server.OPERATOR}
import runpy
runpy.run_module("tidegate_operator", run_name="__main__", alter_sys=True)
"""


class OperatorProcess:
    """One operator. `actor` is its user in the apiserver's audit log."""

    def __init__(
        self,
        plane: HasKubeconfig,
        *,
        actor: str = "operator",
        log: Path,
        broken: str = "",
        **settings: str,
    ) -> None:
        """`broken`: Python that is run before it, to break a part of it on purpose."""
        self.forked = True
        """It starts as a fork; a benchmark measures one that doesn't."""
        self._plane, self._actor, self._log, self._broken = plane, actor, log, broken
        self._settings = settings
        self._process: fork_server.Program | None = None

    def __enter__(self) -> Self:
        return self.start().wait_ready()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def log(self) -> str:
        """What it has logged since it was first started."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def start(self, *, through: HasKubeconfig | None = None) -> Self:
        """Start it, without waiting. `through`: another way to its apiserver, this once."""
        way = through or self._plane
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TIDEGATE_", "KUBERNETES_"))},
            "TIDEGATE_KUBECONFIG": str(way.kubeconfig(self._actor)),
            "TIDEGATE_HOST": "127.0.0.1",
            "TIDEGATE_PORT": "0",
            "TIDEGATE_LOOK_SECONDS": "1",
            **{f"TIDEGATE_{k.upper()}": v for k, v in self._settings.items()},
        }
        with self._log.open("ab") as file:
            file.write(b"--- start\n")
            file.flush()
            # What is to be broken has to be broken before others import it.
            plain = self._broken or not self.forked
            self._process = fork_server.start(
                None if plain else fork_server.OPERATOR,
                ["-c", self._broken + LAUNCH],
                env=environment,
                stdout=file,
                stderr=file,
            )
        return self

    def wait_ready(self) -> Self:
        """Until /readyz says so."""
        wait_until(lambda: self.page("readyz") == (200, "ok\n"), what=f"the operator to be ready: {self.log}")
        return self

    def wait_leading(self) -> Self:
        """Until it leads and is ready."""
        wait_until(lambda: "tidegate_leader 1.0" in self.page("metrics")[1], what="the operator to lead")
        return self.wait_ready()

    def page(self, name: str) -> tuple[int, str]:
        """(status, text) of one of its pages; (0, "") while it does not answer."""
        assert self.exit_code is None, f"the operator ended with {self.exit_code}: {self.log}"
        if not (port := self.health_port):
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def health_port(self) -> int:
        """Of its pages; 0 while it isn't known."""
        ports = re.findall(r'"port": (\d+)', self.log.rsplit("--- start\n", 1)[-1])
        return int(ports[-1]) if ports else 0

    def metrics(self) -> dict[str, float]:
        """All metrics at one moment, named with their labels as on the page."""
        lines = self.page("metrics")[1].splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def metric(self, line: str) -> float:
        """The value of one metric, named with its labels as on the page."""
        return self.metrics().get(line, 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        page = self.metrics()
        return sum(v for n, v in page.items() if n.split("{")[0] == name and all(each in n for each in wanted))

    def stop(self) -> int | None:
        """SIGTERM, and wait; the exit code."""
        if self._process is None or self._process.poll() is not None:
            return self.exit_code
        self._process.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> None:
        """SIGKILL: as a node that loses power."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def _wait(self) -> int:
        assert self._process is not None
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise AssertionError(f"the operator did not stop within 20 s: {self.log}") from None


class Runs:
    """TaskRuns of one namespace, by name."""

    patience = PATIENCE

    def __init__(self, kube: Kube) -> None:
        self.kube, self.namespace = kube, kube.namespace

    def create(self, manifest: Json) -> Json:
        """Create an object; the apiserver's answer."""
        return self.kube.create(manifest)

    def get(self, name: str, *, kind: str = "taskruns.tidegate.dev") -> Json:
        """An object."""
        return self.kube.get(kind, name)

    def listed(self, kind: str, selector: str = "") -> list[Json]:
        """Objects."""
        return self.kube.listed(kind, selector)

    def jobs(self, run: str) -> list[Json]:
        """The Jobs of a run, by attempt."""
        found = self.listed("jobs", f"tidegate.dev/run={run}")
        return sorted(found, key=lambda j: int(j["metadata"]["labels"]["tidegate.dev/attempt"]))

    def patch_spec(self, name: str, **fields: Any) -> None:
        """Change fields of a run's spec."""
        self.kube.patch("taskruns.tidegate.dev", name, {"spec": fields})

    def wait(self, name: str, *phases: str, reason: str | None = None, seconds: float | None = None) -> Json:
        """The run's status once it is in one of `phases` (and has `reason`)."""
        seconds = seconds or self.patience
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.get(name)["status"])
            return seen["phase"] in phases and (reason is None or seen.get("reason") == reason)

        try:
            wait_until(there, seconds=seconds)
        except AssertionError:
            wanted = f"{' or '.join(phases)}{f'/{reason}' if reason else ''}"
            raise AssertionError(f"run {name} is not {wanted} after {seconds} s but {json.dumps(seen)}") from None
        return seen


class OwnRuns(Runs):
    """The same in a namespace of a test's own, which is made: objects go there whatever their manifests say."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        super().__init__(Kube(plane.kubeconfig()).create_namespace(namespace))

    def create(self, manifest: Json) -> Json:
        return super().create(self.placed(manifest))

    def placed(self, manifest: Json) -> Json:
        """A manifest for the namespace."""
        return {**manifest, "metadata": {**manifest["metadata"], "namespace": self.namespace}}
