"""A dump of Postgres and the Secrets bring an installation back, as docs/operations/back-up.md says."""

import re
import subprocess
from collections.abc import Iterator

import pytest
import requests
from support.builders import a_run
from support.cluster import CHART, PROJECT, SECONDS, ClusterRuns, forwarded
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_demo import install
from tidegate_demo.install import ADMIN, NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl

CLUSTER = "restore"
POSTGRES = f"statefulset/{RELEASE}-postgres"
SECRETS = ("tidegate-web", "tidegate-admin", "tidegate-run-tokens")
NONE = ",".join(f"{part}.replicas=0" for part in ("web", "live", "mirror"))
ONE = ",".join(f"{part}.replicas=1" for part in ("web", "live", "mirror"))

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    found = Clusters(settings=settings.from_environment())
    found.down(CLUSTER)
    try:
        yield install.up(found, CLUSTER, project=PROJECT)
    finally:
        found.down(CLUSTER)


def in_postgres(kubectl: Kubectl, *command: str, given: bytes = b"") -> bytes:
    words = kubectl.command("-n", NAMESPACE, "exec", "-i", POSTGRES, "--", *command)
    done = subprocess.run(words, env=dict(kubectl.environment), input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def look_up(kubectl: Kubectl, run: str) -> dict[str, object]:
    """The run's result, once the archive has its log."""
    password = kubectl.secret(NAMESPACE, f"{RELEASE}-admin", key="password")
    runs = f"/api/v1/projects/{PROJECT}/runs"
    with forwarded(kubectl, f"svc/{RELEASE}-web") as site, requests.Session() as client:

        def signed_in() -> bool:
            token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(f"{site}/login").text)
            form = {"email": ADMIN, "password": password, "csrf_token": token[1] if token else ""}
            return client.post(f"{site}/login", data=form, allow_redirects=False).status_code == 303

        wait_until(signed_in, seconds=SECONDS, what="a sign-in")

        def logged() -> bool:
            answer = client.get(f"{site}{runs}/{run}/logs")
            return (
                answer.status_code == 200
                and "hello" in answer.text
                and '"end":"complete"' in answer.text.replace(" ", "")
            )

        wait_until(logged, seconds=SECONDS, what="the log in the archive")
        status: dict[str, object] = client.get(f"{site}{runs}/{run}").json()["status"]
        return status


def test_a_run_that_only_the_dump_has_is_there_again(kubectl: Kubectl) -> None:
    runs = ClusterRuns(kubectl, PROJECT)
    runs.end(a_run("kept").shell("echo hello; echo 7 > $TIDEGATE_RESULT_FILE"), "Succeeded")
    assert look_up(kubectl, "kept")["result"] == 7
    dump = in_postgres(kubectl, "pg_dump", "-U", "tidegate", "-Fc", "tidegate")
    secrets = kubectl("-n", NAMESPACE, "get", "secret", *SECRETS, "-o", "yaml")
    values = kubectl.helm("get", "values", RELEASE, "-n", NAMESPACE, "-o", "yaml")

    kubectl.helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
    kubectl("-n", NAMESPACE, "delete", "secret", "--all")
    runs.kube.delete("taskruns.tidegate.dev", "kept")

    kubectl("apply", "-f", "-", stdin=secrets)
    kubectl.helm("install", RELEASE, CHART, "-n", NAMESPACE, "--values", "-", "--set", NONE, stdin=values)
    migrated = ("job", "-l", "app.kubernetes.io/component=migrate", "--for=condition=Complete")
    kubectl("-n", NAMESPACE, "wait", *migrated, f"--timeout={SECONDS:.0f}s")
    in_postgres(kubectl, "psql", "-U", "tidegate", "-c", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public")
    in_postgres(kubectl, "pg_restore", "-U", "tidegate", "-d", "tidegate", "--exit-on-error", given=dump)
    kubectl.helm("upgrade", RELEASE, CHART, "-n", NAMESPACE, "--reset-then-reuse-values", "--set", ONE)
    wait_ready(kubectl)
    assert look_up(kubectl, "kept")["result"] == 7
