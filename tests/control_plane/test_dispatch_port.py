"""Clients made by hand on the dispatch port: who isn't a worker gets nothing, and harms no one who is."""

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from support.builders import a_pool, a_run
from support.operator import OperatorProcess, OwnRuns
from support.pools import Node, node_of, pooled_operator, with_secret
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane

TASKS = "def double(number): return number * 2\n"
WELCOME = "welcome"


@pytest.fixture(scope="module")
def ported(plane: ControlPlane) -> OwnRuns:
    made = OwnRuns(plane, "ported")
    with_secret(made)
    return made


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def leader(
    plane: ControlPlane, ported: OwnRuns, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    log: Path = tmp_path_factory.mktemp("operator") / "log"
    with pooled_operator(plane, log=log, port=port, identity="operator") as made:
        yield made.wait_leading()


@pytest.fixture(scope="module")
def node(leader: OperatorProcess, ported: OwnRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_of(ported, tmp_path_factory.mktemp("node"), tasks=TASKS) as made:
        ported.create(a_pool("warm"))
        made.run_all("warm")
        yield made


@pytest.fixture(autouse=True)
def goes_on(node: Node, ported: OwnRuns, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a client does, a run goes through afterwards."""
    yield
    name = f"after-{abs(hash(request.node.name)) % 10**9}"
    ported.create(a_run(name).warm("tasks:double").payload(number=2).built)
    assert ported.wait(name, "Succeeded", "Failed")["result"] == 4


class Client:
    """A connection made by hand."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", port), timeout=120, source_address=(source, 0))
        self.tls = context.wrap_socket(raw)
        self._file = self.tls.makefile("rb")

    def say(self, **body: Any) -> Self:
        self.tls.sendall(json.dumps(body).encode() + b"\n")
        return self

    def hello(self, token: str, *, started: float, secret: str = "s", slots: int = 4) -> Self:  # noqa: S107
        return self.say(
            type="hello", protocol=1, token=token, secret=secret, slots=slots, draining=False, started=started
        )

    def heard(self) -> str:
        """The type of the next message; empty where the connection is closed."""
        try:
            line = self._file.readline()
        except OSError:
            return ""
        return str(json.loads(line)["type"]) if line else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.tls.close()


def token(node: Node, pod: dict[str, Any]) -> str:
    return node._token(pod)


def the_pod(node: Node) -> dict[str, Any]:
    (worker,) = node.workers.values()
    return worker.pod


def began(node: Node) -> float:
    """When the worker's container began, as the node reports it."""
    from tidegate_api.times import parse_time

    status = node._runs.get(the_pod(node)["metadata"]["name"], kind="pods")["status"]
    at = parse_time(status["containerStatuses"][0]["state"]["running"]["startedAt"])
    assert at is not None
    return at


@pytest.mark.parametrize("given", ["", "rubbish", "a.b.c"])
def test_a_client_without_a_token_is_refused(node: Node, port: int, given: str) -> None:
    with Client(port) as client:
        assert client.hello(given, started=began(node)).heard() == ""


def test_a_token_of_another_audience_is_refused(plane: ControlPlane, node: Node, port: int, ported: OwnRuns) -> None:
    pod = the_pod(node)
    ref = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    body = {"spec": {"boundObjectRef": ref, "expirationSeconds": 3600}}
    made = ported.kube.post("serviceaccounts", "default", "token", body)
    with Client(port) as client:
        assert client.hello(made["status"]["token"], started=began(node)).heard() == ""


def test_a_token_that_is_bound_to_no_pod_is_refused(node: Node, port: int, ported: OwnRuns) -> None:
    body = {"spec": {"audiences": ["tidegate"], "expirationSeconds": 3600}}
    made = ported.kube.post("serviceaccounts", "default", "token", body)
    with Client(port) as client:
        assert client.hello(made["status"]["token"], started=began(node)).heard() == ""


def test_a_pod_that_carries_the_label_and_belongs_to_no_pool_is_refused(node: Node, port: int, ported: OwnRuns) -> None:
    labels = {"tidegate.dev/pool": "warm", "fake.tidegate.dev/hold": "1"}
    spec = {"containers": [{"name": "worker", "image": "x"}], "restartPolicy": "Always"}
    metadata = {"name": "stranger", "labels": labels}
    pod = ported.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        wait_until(lambda: ported.get("stranger", kind="pods")["status"]["phase"] == "Running", what="the pod")
        node.report(pod, running="9999")
        started = ported.get("stranger", kind="pods")["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        from tidegate_api.times import parse_time

        with Client(port) as client:
            assert client.hello(token(node, pod), started=parse_time(started) or 0.0).heard() == ""
    finally:
        ported.kube.delete("pods", "stranger", wait=False)


def test_a_second_client_of_a_worker_is_refused_without_its_secret(node: Node, port: int) -> None:
    with Client(port) as client:
        assert client.hello(token(node, the_pod(node)), started=began(node), secret="guessed").heard() == ""


def test_one_that_speaks_before_it_is_welcomed_is_closed(node: Node, port: int) -> None:
    with Client(port) as client:
        client.hello(token(node, the_pod(node)), started=began(node)).say(type="ready")
        assert client.heard() == ""


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"\xff\xfe\n", b"x" * 9000 + b"\n", b"x" * 9000])
def test_one_that_says_no_hello_is_closed(port: int, line: bytes) -> None:
    with Client(port) as client:
        client.tls.sendall(line)
        assert client.heard() == ""


def test_one_that_says_nothing_is_closed_after_a_moment(port: int) -> None:
    with Client(port) as client, socket.create_connection(("127.0.0.1", port), timeout=120) as half_open:
        assert client.heard() == ""
        with suppress(ConnectionResetError):
            assert half_open.recv(1) == b""


def test_another_protocol_is_refused_with_words_in_the_log(port: int, leader: OperatorProcess) -> None:
    with Client(port) as client:
        assert client.say(type="hello", protocol=99, token="t", secret="s", slots=1).heard() == ""
    assert "update the image's runner" in leader.log


def test_a_crowd_of_strangers_keeps_no_worker_out(node: Node, port: int, leader: OperatorProcess) -> None:
    crowd: list[socket.socket] = []
    try:
        for _ in range(600):
            with suppress(OSError):
                crowd.append(socket.create_connection(("127.0.0.1", port), timeout=120))
        refused = leader.metric('tidegate_pool_connections_total{outcome="refused"}')
        assert refused > 400
        assert leader.page("readyz")[0] == 200
    finally:
        for one in crowd:
            one.close()


def test_strangers_that_dribble_hold_up_nobody(node: Node, ported: OwnRuns, port: int) -> None:
    stop = threading.Event()

    def dribble() -> None:
        with suppress(OSError), Client(port) as client:
            while not stop.wait(0.2):
                client.tls.sendall(b"{")

    threads = [threading.Thread(target=dribble) for _ in range(8)]
    for thread in threads:
        thread.start()
    ported.create(a_run("beside").warm("tasks:double").payload(number=3).built)
    assert ported.wait("beside", "Succeeded")["result"] == 6
    stop.set()
    for thread in threads:
        thread.join()


STRANGER = "127.0.0.2"
"""Where strangers connect from: workers have addresses of their own."""


@contextmanager
def again_and_again(attack: Callable[[], None], *, threads: int = 8) -> Iterator[Callable[[], int]]:
    """Go on with an attack while the block lasts; gives how often it was tried."""
    stop, tried = threading.Event(), [0] * threads

    def go_on(number: int) -> None:
        while not stop.is_set():
            with suppress(OSError):
                attack()
            tried[number] += 1

    made = [threading.Thread(target=go_on, args=(number,)) for number in range(threads)]
    for thread in made:
        thread.start()
    try:
        yield lambda: sum(tried)
    finally:
        stop.set()
        for thread in made:
            thread.join()


def comes_back(node: Node, leader: OperatorProcess) -> None:
    """The worker's container ends and starts again, and the worker is welcomed."""
    welcomed = leader.metric('tidegate_pool_connections_total{outcome="welcome"}')
    (worker,) = node.workers.values()
    node.kill(worker)
    node.start(worker.pod)

    def welcome() -> bool:
        return leader.metric('tidegate_pool_connections_total{outcome="welcome"}') > welcomed

    wait_until(welcome, what="the worker to be welcomed")


def claiming(uid: str) -> str:
    """A token that claims to be of a pod, with a signature of no key."""
    claims = {"aud": ["tidegate"], "kubernetes.io": {"pod": {"name": "worker", "uid": uid}}}
    parts = (b"{}", json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("forged", ["rubbish", claiming("no-such-pod")], ids=["of no kind", "of no pod"])
def test_forged_tokens_keep_no_worker_out(node: Node, port: int, leader: OperatorProcess, forged: str) -> None:
    def forge() -> None:
        with Client(port, source=STRANGER) as client:
            client.hello(forged, started=1.0)

    with again_and_again(forge) as tried:
        # As many as there would be reviews of in 30 s.
        wait_until(lambda: tried() > 400, what="many forged tokens")
        comes_back(node, leader)


def test_a_pod_that_shows_tokens_of_its_own_keeps_no_worker_out(
    node: Node, port: int, leader: OperatorProcess, ported: OwnRuns
) -> None:
    labels = {"tidegate.dev/pool": "warm", "fake.tidegate.dev/hold": "1"}
    spec = {"containers": [{"name": "worker", "image": "x"}], "restartPolicy": "Always"}
    metadata = {"name": "known", "labels": labels}
    pod = ported.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    own = token(node, pod)

    def show() -> None:
        with Client(port, source=STRANGER) as client:
            client.hello(own, started=1.0)

    try:
        with again_and_again(show) as tried:
            wait_until(lambda: tried() > 400, what="many tokens of its own")
            comes_back(node, leader)
    finally:
        ported.kube.delete("pods", "known", wait=False)


def test_silent_strangers_leave_a_place_for_a_worker(node: Node, port: int, leader: OperatorProcess) -> None:
    def hold() -> None:
        """Take a place until it is taken away."""
        with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(STRANGER, 0)) as held:
            held.recv(1)

    with again_and_again(hold, threads=80) as tried:
        wait_until(lambda: tried() > 400, what="many silent strangers")
        comes_back(node, leader)
