"""An upgrade and a rollback while people work: the release before, this one, and back.

The chart and the images of the release before are built from the history (`before` names the commit). A client in the cluster reads 20
times a second, creates two runs a second, one in a pool, and follows 20 streams (`client.py`).
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from support.builders import BUSYBOX, EXAMPLES, a_task
from support.cluster import CHECKOUT, SECONDS, ClusterRuns, forwarded
from support.outside import EXAMPLES as EXAMPLE_FOLDERS
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_demo.install import ADMIN, NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl

CLUSTER = "upgrade"
PROJECT = "work"
BEFORE = (Path(__file__).parent / "before").read_text(encoding="utf-8").strip()
IMAGES = ("operator", "web")
OTHERS = ("runner", "examples", "postgres", "redis", "busybox")
TWO = ("operator", "web", "live", "mirror")
RECONNECT_SECONDS = 10.0
"""A stream that ends is there again within this, as a browser's would be."""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of the release before."""
    folder = tmp_path_factory.mktemp("older")
    packed = subprocess.run(["git", "-C", str(CHECKOUT), "archive", BEFORE], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def load_images(checkout: Path, *names: str) -> None:
    """Build them by the checkout's own tool, and bring them into the cluster by this one's: an older tool doesn't know the
    records of newer clusters."""
    command = [sys.executable, "-m", "tidegate_images", "build", "--only", *names]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "cluster")}
    done = subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    Clusters(settings=settings.from_environment()).load(CLUSTER, [Path(line) for line in done.stdout.split()])


@pytest.fixture(scope="module")
def kubectl(older: Path) -> Iterator[Kubectl]:
    """A cluster with the release before."""
    found = Clusters(settings=settings.from_environment())
    found.down(CLUSTER)
    found.up(CLUSTER)
    try:
        load_images(older, *IMAGES, *OTHERS)
        made = Kubectl.of(found, CLUSTER)
        for namespace in (NAMESPACE, PROJECT):
            made("create", "namespace", namespace)
        made("label", "namespace", PROJECT, "tidegate.dev/project=true")
        made.helm("install", RELEASE, older / "helm/tidegate", *options(older))
        wait_ready(made)
        yield made
    finally:
        found.down(CLUSTER)


def options(checkout: Path) -> list[str]:
    """Of an install or an upgrade to a checkout's build."""
    replicas = ",".join(f"{part}.replicas=2" for part in TWO)
    return [
        f"--namespace={NAMESPACE}",
        f"--values={checkout / 'build/images.yaml'}",
        f"--set=postgres.persistence.enabled=false,admin.email={ADMIN},{replicas}",
    ]


@pytest.fixture(scope="module")
def key(kubectl: Kubectl) -> str:
    """An API key of the project, made as a person makes one."""
    password = kubectl.secret(NAMESPACE, f"{RELEASE}-admin", key="password")
    with forwarded(kubectl, f"svc/{RELEASE}-web") as site, requests.Session() as client:

        def signs_in() -> bool:
            form = {"email": ADMIN, "password": password, "csrf_token": _token(client.get(f"{site}/login").text)}
            return client.post(f"{site}/login", data=form, allow_redirects=False).status_code == 303

        wait_until(signs_in, seconds=SECONDS, what="a sign-in")

        def has_project() -> bool:
            return client.get(f"{site}/api/v1/projects/{PROJECT}/runs").status_code == 200

        wait_until(has_project, seconds=SECONDS, what="the project")
        page = client.get(f"{site}/projects/{PROJECT}/runs").text
        headers = {"X-CSRFToken": _token(page)}
        body = {"name": "client", "role": "developer"}
        made = client.post(f"{site}/api/v1/projects/{PROJECT}/api-keys", json=body, headers=headers)
        assert made.status_code == 201, made.text
        found: str = made.json()["key"]
        return found


def _token(page: str) -> str:
    found = re.search(r'(?:name="csrf_token" value|name="csrf-token" content)="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.fixture
def runs(kubectl: Kubectl) -> ClusterRuns:
    made = ClusterRuns(kubectl, PROJECT)
    brief = a_task("brief", image=BUSYBOX, command=["sh", "-c", "sleep 1"])
    brief["metadata"]["namespace"] = PROJECT
    made.create(brief)
    made.kubectl("apply", "-f", str(EXAMPLE_FOLDERS / "mood"))
    made.wait("letter", "Succeeded")
    return made


@pytest.fixture
def client(kubectl: Kubectl, key: str) -> str:
    """The pod of the client, at work."""
    env = {"BASE": f"http://{RELEASE}-web.{NAMESPACE}.svc", "PROJECT": PROJECT, "KEY": key}
    script = (Path(__file__).parent / "client.py").read_text(encoding="utf-8")
    container = {
        "name": "client",
        "image": EXAMPLES,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", script],
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client", "namespace": "default"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    kubectl("-n", "default", "wait", "pod/client", "--for=condition=Ready", f"--timeout={SECONDS:.0f}s")
    return "client"


def created_since(runs: ClusterRuns, known: int, more: int) -> int:
    """Wait until so many more runs are there; how many there are then."""

    def there() -> bool:
        return len(runs.kube.names("taskruns.tidegate.dev")) >= known + more

    wait_until(there, seconds=SECONDS, what=f"{more} more runs")
    return len(runs.kube.names("taskruns.tidegate.dev"))


def test_an_upgrade_and_a_rollback_are_noticed_by_nobody(
    kubectl: Kubectl, runs: ClusterRuns, client: str, key: str
) -> None:
    load_images(CHECKOUT, *IMAGES)
    known = created_since(runs, 0, 20)
    kubectl.helm("upgrade", RELEASE, CHECKOUT / "helm/tidegate", "--reset-then-reuse-values", *options(CHECKOUT))
    wait_ready(kubectl)
    known = created_since(runs, known, 30)
    kubectl.helm("rollback", RELEASE, "1", f"--namespace={NAMESPACE}")
    wait_ready(kubectl)
    created_since(runs, known, 30)
    kubectl("-n", "default", "exec", client, "--", "touch", "/tmp/stop")
    kubectl("-n", "default", "wait", f"pod/{client}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
    met: dict[str, Any] = json.loads(kubectl("-n", "default", "logs", client).splitlines()[-1])
    sys.stderr.write(f"{ {name: value for name, value in met.items() if name != 'created'} }\n")

    assert met["failed"] == []
    assert not [code for code in met["answers"] if int(code) >= 400 and code != "409"]
    assert met["events"] > 0
    assert met["longest_gap"] < RECONNECT_SECONDS
    ended_once(runs, met["created"])
    wait_until(lambda: archived(kubectl, key) >= set(met["created"]), seconds=SECONDS, what="all runs in the archive")


def ended_once(runs: ClusterRuns, names: list[str]) -> None:
    """Each has succeeded, with one attempt, and no run has two Jobs."""
    assert len(names) >= 80
    for name in names:
        status = runs.wait(name, "Succeeded")
        assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"], (name, status)
    jobs = [job["metadata"]["labels"]["tidegate.dev/run"] for job in runs.listed("jobs")]
    assert len(jobs) == len(set(jobs))


def archived(kubectl: Kubectl, key: str) -> set[str]:
    """The runs that have ended, as the archive lists them."""
    names: set[str] = set()
    with forwarded(kubectl, f"svc/{RELEASE}-web") as site, requests.Session() as client:
        client.headers["Authorization"] = f"Bearer {key}"
        after = ""
        while True:
            params = {"limit": "200", "phase": "Succeeded", **({"after": after} if after else {})}
            answer = client.get(f"{site}/api/v1/projects/{PROJECT}/runs", params=params, timeout=SECONDS).json()
            names |= {run["name"] for run in answer["items"]}
            after = answer.get("after") or ""
            if not after:
                return names
