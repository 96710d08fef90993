"""The chart with TLS between all of its parts, on a real cluster: everything works, and nothing answers in plain or without the right
authority."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.builders import EXAMPLES, a_pool, a_run
from support.cluster import PROJECT, SECONDS, ClusterRuns
from support.kube import Kube
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_demo import install
from tidegate_demo.install import NAMESPACE, RELEASE, wait_ready
from tidegate_demo.kubectl import Kubectl

KEPT = os.environ.get("TIDEGATE_TEST_CLUSTER")
CLUSTER = KEPT or "tls"
ASKS = """
import json, os
from tidegate.connections import PodConnection, from_environment
from tidegate.errors import ApiError

url, uid, token = (os.environ[f"TIDEGATE_{name}"] for name in ("API_URL", "RUN_UID", "TOKEN_FILE"))
ours = from_environment()
ours.save_checkpoint(b'"kept"', seconds=30)
said = {"url": url, "kept": json.loads(ours.load_checkpoint(seconds=30))}
for name, other in {"no authority": url, "plain": url.replace("https", "http") + ":443"}.items():
    try:
        PodConnection(url=other, run_uid=uid, token_file=token).load_checkpoint(seconds=1)
    except ApiError as error:
        said[name] = str(error)
print(json.dumps(said))
"""
STORES = """
import json, os, socket, ssl, urllib.request
import psycopg, redis

peers = "/etc/tidegate/peers"

def tried(act):
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"

def postgres(**options):
    url = os.environ["TIDEGATE_DATABASE_URL"].partition("?")[0]
    psycopg.connect(url, password=os.environ["TIDEGATE_DATABASE_PASSWORD"], connect_timeout=5, **options).close()

def to_redis(scheme, **options):
    host = os.environ["TIDEGATE_REDIS_URL"].partition("//")[2].partition("?")[0]
    redis.Redis.from_url(f"{scheme}://{host}", password=os.environ["TIDEGATE_REDIS_PASSWORD"], socket_timeout=5, **options).ping()

def tls(host, port, name, authority):
    context = ssl.create_default_context(cafile=authority)
    with socket.create_connection((host, port), timeout=5) as plain, context.wrap_socket(plain, server_hostname=name):
        pass

def plain(host, port):
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = connection.recv(100)
        if not answer.startswith(b"HTTP"):
            raise OSError("no answer in plain")

operator, why = OPERATOR, "tidegate-operator.tidegate.svc"
internal = "tidegate-internal.tidegate.svc"
system = "/etc/ssl/certs/ca-certificates.crt"
print(json.dumps({
    "postgres": tried(lambda: postgres(sslmode="verify-full", sslrootcert=f"{peers}/postgres.crt")),
    "postgres, another authority": tried(lambda: postgres(sslmode="verify-full", sslrootcert="system")),
    "postgres, plain": tried(lambda: postgres(sslmode="disable")),
    "redis": tried(lambda: to_redis("rediss", ssl_ca_certs=f"{peers}/redis.crt")),
    "redis, another authority": tried(lambda: to_redis("rediss")),
    "redis, plain": tried(lambda: to_redis("redis")),
    "operator": tried(lambda: tls(operator, 8081, why, f"{peers}/operator.crt")),
    "operator, another authority": tried(lambda: tls(operator, 8081, why, None)),
    "operator, plain": tried(lambda: plain(operator, 8081)),
    "web": tried(lambda: tls(internal, 443, internal, f"{peers}/operator.crt")),
    "web, another authority": tried(lambda: tls(internal, 443, internal, None)),
    "web, plain": tried(lambda: plain(internal, 443)),
}))
"""
SERIALS = """
import json, socket, ssl, struct

def serial(port, host, part, *, begin=lambda connection: None):
    context = ssl.create_default_context(cafile=f"/etc/tidegate/peers/{part}.crt")
    with socket.create_connection((host, port), timeout=5) as plain:
        begin(plain)
        with context.wrap_socket(plain, server_hostname=host) as made:
            return made.getpeercert()["serialNumber"]

def ask_postgres(connection):
    connection.sendall(struct.pack("!II", 8, 80877103))
    assert connection.recv(1) == b"S"

print(json.dumps({
    "web": serial(443, "tidegate-internal.tidegate.svc", "operator"),
    "redis": serial(6379, "tidegate-redis", "redis"),
    "postgres": serial(5432, "tidegate-postgres", "postgres", begin=ask_postgres),
}))
"""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    found = Clusters(settings=settings.from_environment())
    if not KEPT:
        found.down(CLUSTER)
    try:
        yield install.up(found, CLUSTER, project=PROJECT, values=["internalTLS.enabled=true"])
    finally:
        if not KEPT:
            found.down(CLUSTER)


@pytest.fixture(scope="module")
def runs(kubectl: Kubectl) -> ClusterRuns:
    made = ClusterRuns(kubectl, PROJECT)
    made.kube.delete_all("taskruns.tidegate.dev")
    selector = "app.kubernetes.io/managed-by=tidegate"
    wait_until(lambda: len(made.listed("rolebindings", selector)) == 2, seconds=SECONDS, what="the rights in it")
    return made


@pytest.fixture(scope="module")
def release(kubectl: Kubectl) -> Kube:
    return Kube(kubectl.kubeconfig, namespace=NAMESPACE)


def in_web(kubectl: Kubectl, script: str) -> str:
    """What Python prints in a web pod, with the settings and the files of one."""
    return kubectl("-n", NAMESPACE, "exec", f"deploy/{RELEASE}-web", "--", "python", "-c", script)


def test_all_parts_work(kubectl: Kubectl) -> None:
    said = kubectl.helm("test", RELEASE, "--namespace", NAMESPACE, "--logs")
    assert " down " not in said
    assert " degraded " not in said
    assert "Redis " in said


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_runs_ask_the_web_app_whose_authority_their_pods_have(runs: ClusterRuns, kind: str) -> None:
    runs.kube.apply(a_pool(image=EXAMPLES, slots=1) | {"metadata": {"name": "warm"}})
    run = a_run(kind)
    run = run.warm("subprocess:check_output") if kind == "warm" else run.python("subprocess:check_output")
    status = runs.end(run.payload(args=["python", "-c", ASKS], text=True), "Succeeded")
    said = json.loads(status["result"])
    assert said["url"].startswith("https://")
    assert said["kept"] == "kept"
    assert "not trusted" in said["no authority"]
    assert "plain" in said


def test_each_port_takes_its_own_authority_and_no_plain_connection(kubectl: Kubectl, release: Kube) -> None:
    lease = release.get("leases", f"{RELEASE}-operator")["spec"]["holderIdentity"]
    address = release.get("pods", lease)["status"]["podIP"]
    found: dict[str, str] = json.loads(in_web(kubectl, STORES.replace("OPERATOR", repr(address))))
    assert {name for name, answer in found.items() if answer == "ok"} == {"postgres", "redis", "operator", "web"}, found
    for part in ("redis", "operator", "web", "postgres"):
        assert "certificate verify failed" in found[f"{part}, another authority"], found
    assert "no encryption" in found["postgres, plain"], found


def test_renewed_certificates_are_shown_without_a_restart(kubectl: Kubectl, release: Kube) -> None:
    parts = ("web", "postgres", "redis")
    before = serials(kubectl)
    started = [pods_of(release, part) for part in parts]
    for part in parts:
        kubectl("-n", NAMESPACE, "patch", "secret", f"{RELEASE}-{part}-tls", "-p", '{"data": {"tls.crt": ""}}')
    kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-operator")  # it looks when it begins to lead
    wait_ready(kubectl)

    def renewed() -> bool:
        now = serials(kubectl)
        return all(now[part] != before[part] for part in parts)

    wait_until(renewed, seconds=4 * SECONDS, what="renewed certificates")
    assert [pods_of(release, part) for part in parts] == started


def serials(kubectl: Kubectl) -> dict[str, str]:
    """What each part shows."""
    found: dict[str, str] = json.loads(in_web(kubectl, SERIALS))
    return found


def pods_of(release: Kube, part: str) -> dict[str, Any]:
    """How often the containers of each pod have begun."""
    found = release.listed("pods", f"app.kubernetes.io/component={part}")
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["restartCount"] for p in found}
