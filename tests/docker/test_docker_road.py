"""What people with Docker do, word for word, on a Docker engine of our own: its name spaces end with the tests.

Not one of the stages of `make test`: it takes half an hour. `make test-docker` runs it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tidegate_cluster import settings
from tidegate_docker.engine import Engine

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a Docker engine of our own needs root"),
    # Images are built, and a cluster's tests run within one of them.
    pytest.mark.timeout(3600),
]
CHECKOUT = Path(__file__).resolve().parents[2]
PUSHED = "localhost:5000/team"
CLUSTER = "road"


class Host:
    """A host with Docker, kind's node image, and a registry at localhost:5000."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, *words: str, check: bool = True) -> str:
        """What a program prints that is run there in the checkout."""
        environment = {**self._engine.environment(), "PYTHONPATH": str(CHECKOUT / "cluster")}
        done = subprocess.run(
            self._engine.command(*words), cwd=CHECKOUT, env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def tidegate(self, *words: str) -> str:
        """`python3 -m tidegate_cluster`."""
        return self.run(sys.executable, "-m", "tidegate_cluster", *words)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    os.chdir(CHECKOUT)
    usual = settings.from_environment()
    state = tmp_path_factory.mktemp("docker")
    engine = Engine(settings=settings.Settings(cache=usual.cache, state=state, first_network=usual.first_network))
    engine.up()
    try:
        yield Host(engine)
    finally:
        engine.down()
    left = [line for line in Path("/proc/mounts").read_text().splitlines() if str(state) in line]
    assert not left
    assert not list(Path("/sys/fs/cgroup").glob("*/tidegate-docker"))


def test_images_go_to_a_registry_and_the_chart_is_installed_from_there(host: Host, tmp_path: Path) -> None:
    digests = f"DIGESTS={tmp_path / 'digests.json'}"
    host.run("make", "bases", "MIRROR=http://localhost:5000", digests)
    host.run("make", "images", f"PUSH={PUSHED}", digests)
    values = yaml.safe_load((CHECKOUT / "build/images.yaml").read_text(encoding="utf-8"))
    assert values["image"]["registry"] == PUSHED
    for image in ("library/postgres:17", "library/redis:8"):
        host.run("docker", "pull", image)
        host.run("docker", "tag", image, f"{PUSHED}/{image}")
        host.run("docker", "push", f"{PUSHED}/{image}")
    kubeconfig = host.tidegate("up", "--name", CLUSTER).strip()
    try:
        exported = host.tidegate("env", "--name", CLUSTER)

        def shell(command: str) -> str:
            return host.run("bash", "-ec", f"{exported}\n{command}")

        # The README's line, and a wait.
        shell(
            "helm install tidegate helm/tidegate -n tidegate --create-namespace -f build/images.yaml --wait --timeout=10m"
        )
        pods = json.loads(shell("kubectl -n tidegate get pods -o json"))["items"]
        images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
        assert images
        assert all(image.startswith(f"{PUSHED}/") for image in images), images
        (claim,) = json.loads(shell("kubectl -n tidegate get persistentvolumeclaims -o json"))["items"]
        assert claim["status"]["phase"] == "Bound"
        assert Path(kubeconfig).is_file()
    finally:
        host.tidegate("down", "--name", CLUSTER)


def test_the_demo_takes_kind_and_its_examples_end_as_they_should(host: Host) -> None:
    host.run("make", "demo")
    assert host.run("docker", "ps", "--format={{.Names}}").split() == ["tidegate-demo-control-plane"]
    host.run("make", "demo-down")
    assert host.run("docker", "ps", "--all", "--quiet") == ""


def test_the_tests_of_the_chart_pass_on_kind(host: Host) -> None:
    host.run(sys.executable, "-m", "pytest", "-q", "tests/cluster")
