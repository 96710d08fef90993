"""The chart over its life: upgrades, an uninstall that loses nothing, narrow rights."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from support.builders import a_run
from support.cluster import CHART, SECONDS, ClusterRuns, refusal
from support.kube import Kube
from support.servers import wait_until
from tidegate_demo.install import NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl

Json = dict[str, Any]
CRDS = ("taskruns", "tasks", "queues", "schedules", "workerpools")
SECRETS = ("admin", "web", "postgres", "redis", "dispatch", "run-tokens")


def passwords(release: Kube) -> dict[str, Json]:
    found = release.listed("secrets")
    return {s["metadata"]["name"]: s["data"] for s in found if s["type"] == "Opaque"}


def test_no_password_is_among_the_arguments_of_redis(kubectl: Kubectl, release: Kube) -> None:
    where = ("-n", NAMESPACE, "exec", f"deployment/{RELEASE}-redis", "--")
    password = base64.b64decode(passwords(release)[f"{RELEASE}-redis"]["password"]).decode()
    arguments = kubectl(*where, "cat", "/proc/1/cmdline")
    assert arguments.startswith("redis-server")
    assert password not in arguments
    assert "NOAUTH" in kubectl(*where, "redis-cli", "ping")
    assert kubectl(*where, "sh", "-c", f"REDISCLI_AUTH={password} redis-cli ping").strip() == "PONG"


def test_the_pods_run_the_builds_that_their_tags_name(release: Kube) -> None:
    pods = release.listed("pods", "app.kubernetes.io/name=tidegate")
    ours = {c["image"].rpartition("/")[2] for p in pods for c in p["spec"]["containers"] if "/tidegate/" in c["image"]}
    assert len(ours) == 2  # operator and web: one build each, whatever ran before
    assert all(re.fullmatch(r"(operator|web):[0-9.]+-[0-9a-f]{16}", image) for image in ours), ours


def test_an_upgrade_keeps_passwords_and_gets_ready(kubectl: Kubectl, release: Kube, runs: ClusterRuns) -> None:
    before = passwords(release)
    assert set(before) == {f"{RELEASE}-{part}" for part in SECRETS}
    upgrade(kubectl, "--set", "operator.logLevel=debug,podAnnotations.upgraded=once")
    assert passwords(release) == before
    runs.end(a_run("after-the-upgrade").shell("true"), "Succeeded")


def test_helm_test_asks_every_part(kubectl: Kubectl, release: Kube) -> None:
    said = kubectl.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs")
    states = dict(
        re.findall(r"^(Operator|Postgres|Mirror|Redis|Kubernetes|Web app|Streams) +(\w+)", said, re.MULTILINE)
    )
    assert states == dict.fromkeys(
        ("Operator", "Postgres", "Mirror", "Redis", "Kubernetes", "Web app", "Streams"), "up"
    )
    release.delete("pods", f"{RELEASE}-test")  # Helm leaves it


def test_what_is_uninstalled_loses_no_run(kubectl: Kubectl, release: Kube, runs: ClusterRuns) -> None:
    runs.end(a_run("kept").shell("echo 1 > $TIDEGATE_RESULT_FILE"), "Succeeded")
    before = passwords(release)
    values = yaml.safe_load(kubectl.helm("get", "values", RELEASE, "--namespace", NAMESPACE, "-o", "yaml"))
    build: str = values["image"]["tags"]["operator"]
    with uninstalled(kubectl, release):
        for kind in CRDS:
            release.get("customresourcedefinitions", f"{kind}.tidegate.dev")
        assert runs.get("kept")["status"]["result"] == 1
        runs.start(a_run("made-meanwhile").shell("true"))
        narrow_rights_suffice(kubectl, release, build=build)
    runs.wait("made-meanwhile", "Succeeded")
    assert passwords(release) == before


def narrow_rights_suffice(kubectl: Kubectl, release: Kube, *, build: str) -> None:
    """Another release, without the web app: it works in the namespaces it was given, and in no other. `build`: the tag of its
    operator."""
    for namespace in ("inside", "outside"):
        release.create_namespace(namespace)
    second = release.create_namespace("second")
    inside, outside = ClusterRuns(kubectl, "inside"), ClusterRuns(kubectl, "outside")
    values = f"web.enabled=false,crds.enabled=false,namespaces={{inside}},image.tags.operator={build}"
    kubectl.helm("install", "second", CHART, "--namespace", "second", "--set", values)
    try:
        outside.start(a_run("elsewhere").shell("true"))
        status = inside.end(a_run("here").python("tasks:resize").payload(pictures=1, seconds=0), "Succeeded")
        assert status["result"] == {"pictures": 1, "width": 1280}
        (operator,) = second.listed("pods")
        log = second.log(operator["metadata"]["name"])
        assert "forbidden" not in log.lower()
        assert outside.get("elsewhere")["status"] == {"phase": "Pending"}
        account = "--as=system:serviceaccount:second:second-tidegate-operator"
        assert "forbidden" in refusal(kubectl, "-n", "outside", "get", "tgr", account).lower()
    finally:
        kubectl.helm("uninstall", "second", "--namespace", "second", "--wait")
        for namespace in ("inside", "outside", "second"):
            release.delete("namespaces", namespace, wait=False)


def upgrade(kubectl: Kubectl, *options: str) -> None:
    kubectl.helm("upgrade", RELEASE, CHART, "--namespace", NAMESPACE, "--reuse-values", *options)
    wait_ready(kubectl)


@contextmanager
def uninstalled(kubectl: Kubectl, release: Kube) -> Iterator[None]:
    """Without the release for a while."""
    values = kubectl.helm("get", "values", RELEASE, "--namespace", NAMESPACE, "-o", "yaml")
    kubectl.helm("uninstall", RELEASE, "--namespace", NAMESPACE)
    selector = "app.kubernetes.io/name=tidegate"
    wait_until(
        lambda: not release.listed("pods", selector),
        seconds=SECONDS,
        what="the release's pods to go",
    )
    try:
        yield
    finally:
        install = ["install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
        kubectl.helm(*install, stdin=values)
        wait_ready(kubectl)
