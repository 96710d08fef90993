"""The worker's health: answered by its main loop, whatever else connects."""

import contextlib
import http.client
import signal
import socket
from collections.abc import Callable

from support.servers import wait_until
from support.worker import FakeLeader, PoolWorker, Session

Start = Callable[..., tuple[PoolWorker, Session]]
MakeWorker = Callable[..., PoolWorker]


def status(worker: PoolWorker, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", worker.health_port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_ready_once_a_leader_takes_it_and_not_when_it_drains(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker(tasks="import time\ndef work(): time.sleep(600)\n")
    session = leader.accept()
    wait_until(lambda: status(worker, "/healthz") == 200, what="an answer")
    assert status(worker, "/readyz") == 503
    session.welcome()
    assert (status(worker, "/readyz"), status(worker, "/healthz"), status(worker, "/else")) == (200, 200, 404)
    session.start("tasks:work", grace=0)
    session.receive_only("started")
    worker.signal(signal.SIGTERM)
    session.receive_only("draining")
    assert (status(worker, "/readyz"), status(worker, "/healthz")) == (503, 200)


def test_alive_and_not_ready_while_modules_are_imported(make_worker: MakeWorker, leader: FakeLeader) -> None:
    worker = make_worker(
        tasks="import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n", TIDEGATE_POOL_PRELOAD='["tasks"]'
    )
    wait_until(lambda: status(worker, "/healthz") == 200, what="an answer")
    assert status(worker, "/readyz") == 503
    (worker.folder / "go").touch()
    leader.welcome()
    assert status(worker, "/readyz") == 200


def test_connections_that_say_nothing_or_too_much_keep_nobody_out(start: Start) -> None:
    worker, _ = start()
    held = [socket.create_connection(("127.0.0.1", worker.health_port)) for _ in range(60)]
    assert status(worker, "/healthz") == 200
    held[-1].settimeout(30)
    held[-1].sendall(b"GET /" + b"x" * 20_000)
    with contextlib.suppress(ConnectionError):
        assert held[-1].recv(10) == b""
    assert status(worker, "/healthz") == 200
    for connection in held:
        connection.close()


def test_other_methods_and_no_http_at_all(start: Start) -> None:
    worker, _ = start()
    for request, answer in ((b"POST /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"), (b"\r\n\r\n", b"HTTP/1.1 405")):
        with socket.create_connection(("127.0.0.1", worker.health_port)) as connection:
            connection.sendall(request)
            assert connection.recv(1000).startswith(answer)
    assert status(worker, "/healthz") == 200
