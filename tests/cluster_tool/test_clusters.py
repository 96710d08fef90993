"""Whole clusters made of name spaces: that they work, and that nothing of them stays."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tidegate_cluster import processes, settings, waiting
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.records import Store
from tidegate_cluster.settings import Settings
from tidegate_images import bases

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a cluster of name spaces needs root")
PACKAGES = str(Path(__file__).resolve().parents[2] / "cluster")


@dataclass(frozen=True)
class Bench:
    """Clusters in a state directory of a test's own; the programs are everybody's."""

    settings: Settings

    @property
    def clusters(self) -> Clusters:
        return Clusters(settings=self.settings)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": PACKAGES, "TIDEGATE_STATE": str(self.settings.state)}
        command = [sys.executable, "-m", "tidegate_cluster", *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def number(self, name: str) -> int:
        record = Store(self.settings).load(name)
        assert record
        return record.number

    def processes(self, name: str) -> dict[str, str]:
        """What is noted of each process of a cluster: its pid, and when it was started."""
        marks = (self.settings.clusters / name).glob("nodes/*/processes/*")
        return {str(mark): mark.read_text() for mark in marks}

    def traces(self, *numbers: int) -> Sequence[str]:
        """All that is left of clusters."""
        links = [path.name for path in Path("/sys/class/net").iterdir()]
        groups = [path for path in Path("/sys/fs/cgroup").glob("**/tidegate-*") if path.is_dir()]
        found = [f"process {process.pid}" for process in processes.marked(self.settings.state)]
        found += [
            f"mount {line}"
            for line in Path("/proc/mounts").read_text().splitlines()
            if str(self.settings.state) in line
        ]
        found += [f"link {name}" for name in links for n in numbers if name.startswith(f"tidegate{n}")]
        found += [f"cgroup {path}" for path in groups for n in numbers if path.name.startswith(f"tidegate-{n}-")]
        found += [f"state {path}" for path in self.settings.clusters.glob("*")]
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    usual = settings.from_environment()
    made = Bench(Settings(cache=usual.cache, state=tmp_path / "state", first_network=usual.first_network))
    yield made
    for name in made.clusters.names():
        made.clusters.down(name)


def kubectl(clusters: Clusters, name: str, *arguments: str, stdin: str | None = None) -> str:
    environment = {**os.environ, **clusters.environment(name)}
    done = subprocess.run(
        ["kubectl", *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def server(node: str) -> str:
    """A pod on a node that answers with the node's name."""
    script = f"mkdir /tmp/w; echo {node} >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"
    container = {
        "name": "web",
        "image": "docker.io/library/busybox:1.37",
        "command": ["/bin/sh", "-c", script],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": f"on-{node}", "labels": {"app": "web"}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def test_up_starts_nothing_when_up_and_two_stand_side_by_side_and_down_leaves_nothing(bench: Bench) -> None:
    clusters = bench.clusters
    first = clusters.up("first", provider="native")
    before = kubectl(clusters, "first", "get", "--raw=/api/v1/namespaces/kube-system")
    running = bench.processes("first")
    assert running
    assert clusters.up("first") == first
    assert bench.processes("first") == running
    assert kubectl(clusters, "first", "get", "--raw=/api/v1/namespaces/kube-system") == before
    clusters.up("second", provider="native")
    numbers = bench.number("first"), bench.number("second")
    assert numbers[0] != numbers[1]
    kubectl(clusters, "first", "create", "namespace", "only-here")
    assert "only-here" not in kubectl(clusters, "second", "get", "namespaces")
    clusters.down("second")
    assert "only-here" in kubectl(clusters, "first", "get", "namespaces")
    clusters.down("first")
    assert bench.traces(*numbers) == []


def test_a_second_node_is_used_fails_and_is_thrown_away(bench: Bench) -> None:
    clusters = bench.clusters
    clusters.up("tests", provider="native")
    clusters.load("tests", [bases.build(bases.BUSYBOX, settings=bench.settings)])
    bridge = Path(f"/sys/class/net/tidegate{bench.number('tests')}")
    address = (bridge / "address").read_text()
    clusters.add_node("tests", "node-2")
    for node in ("node-1", "node-2"):
        kubectl(clusters, "tests", "create", "--filename=-", stdin=server(node))
    kubectl(clusters, "tests", "expose", "pod/on-node-1", "--name=web", "--port=80", "--target-port=8080")
    kubectl(clusters, "tests", "wait", "--for=condition=Ready", "pod/on-node-1", "pod/on-node-2", "--timeout=60s")
    addresses = kubectl(clusters, "tests", "get", "pods", "--output=jsonpath={.items[*].status.podIP}").split()
    for pod in ("on-node-1", "on-node-2"):
        fetched = [_fetch(clusters, pod, f"{address}:8080") for address in addresses]
        assert sorted(fetched) == ["node-1", "node-2"]
        service = kubectl(clusters, "tests", "get", "service", "web", "--output=jsonpath={.spec.clusterIP}")
        assert _fetch(clusters, pod, service) in ("node-1", "node-2")
        lookup = kubectl(clusters, "tests", "exec", pod, "--", "nslookup", "web.default.svc.cluster.local")
        assert service in lookup
    clusters.kill_node("tests", "node-2")
    kubectl(clusters, "tests", "wait", "--for=condition=Ready=Unknown", "node/node-2", "--timeout=60s")
    clusters.remove_node("tests", "node-2")
    assert "node-2" not in kubectl(clusters, "tests", "get", "nodes")
    # One that changes with the cables cuts all other nodes off for most of a minute. 3: it was set (net/netdevice.h).
    assert ((bridge / "address").read_text(), (bridge / "addr_assign_type").read_text().strip()) == (address, "3")
    with pytest.raises(ClusterError, match="has no added node node-2"):
        clusters.remove_node("tests", "node-2")
    number = bench.number("tests")
    clusters.down("tests")
    assert bench.traces(number) == []


def _fetch(clusters: Clusters, pod: str, address: str) -> str:
    command = ("exec", pod, "--", "wget", "-T", "5", "-q", "-O", "-", f"http://{address}/")
    return kubectl(clusters, "tests", *command).strip()


@pytest.mark.parametrize("reached", ["machine", "kube-apiserver"])
def test_what_up_left_when_it_was_killed_is_taken_down(bench: Bench, reached: str) -> None:
    kill_up(bench, reached)
    number = bench.number("tests")
    bench.clusters.down("tests")
    assert bench.traces(number) == []


def test_up_goes_on_over_what_one_left_that_was_killed(bench: Bench) -> None:
    kill_up(bench, "kubelet")
    number = bench.number("tests")
    bench.clusters.up("tests", provider="native")
    assert bench.clusters.state("tests") == "ready"
    bench.clusters.down("tests")
    assert bench.traces(number) == []


def kill_up(bench: Bench, reached: str) -> None:
    """Begin to make a cluster, and kill that when it has come so far."""
    mark = bench.settings.clusters / "tests/nodes/node-1/processes" / reached
    with bench.start("up", "--name=tests", "--provider=native") as half:
        waiting.until(mark.exists, what=reached, seconds=60, every=0.01)
        half.kill()


def test_up_asked_to_stop_cleans_up_itself(bench: Bench) -> None:
    mark = bench.settings.clusters / "tests/nodes/node-1/processes/etcd"
    with bench.start("up", "--name=tests", "--provider=native") as reported:
        waiting.until(mark.exists, what="etcd", seconds=60, every=0.01)
        number = bench.number("tests")
        reported.send_signal(signal.SIGTERM)
        assert reported.wait(timeout=60) == 130
    assert bench.traces(number) == []


@pytest.mark.parametrize("victim", ["machine", "etcd", "containerd"])
def test_a_cluster_whose_program_was_killed_is_made_again(bench: Bench, victim: str) -> None:
    bench.clusters.up("tests", provider="native")
    process = processes.Process.read(bench.settings.clusters / "tests/nodes/node-1/processes" / victim)
    assert process
    process.signal(signal.SIGKILL)
    waiting.until(lambda: not process.alive, what=f"{victim} to end", seconds=10)
    assert bench.clusters.state("tests") == "broken"
    bench.clusters.up("tests")
    assert bench.clusters.state("tests") == "ready"
    number = bench.number("tests")
    bench.clusters.down("tests")
    assert bench.traces(number) == []
