"""10,000 connections of strangers to the dispatch port, on a control plane: a worker that has to connect gets through."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.builders import a_pool, a_run
from support.operator import OperatorProcess, OwnRuns, install_crds
from support.pools import TASKS, Node, node_of, pooled_operator, with_secret, worker_of
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.timeout(900)
CONNECTIONS = 10_000
STRANGERS = [f"127.0.{n}.2" for n in range(1, 11)]
"""Where they come from; workers have addresses of their own."""


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def ported(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OwnRuns, OperatorProcess, Node]]:
    with ControlPlane(actors=("admin", "operator"), pods="complete") as plane:
        install_crds(plane)
        runs = OwnRuns(plane, "ported")
        with_secret(runs)
        log: Path = tmp_path_factory.mktemp("operator") / "log"
        with (
            pooled_operator(plane, log=log, port=port, identity="operator") as leader,
            node_of(runs, tmp_path_factory.mktemp("node"), tasks=TASKS) as node,
        ):
            leader.wait_leading()
            runs.create(a_pool("warm", preload=["tasks"]))
            node.run_all("warm")
            yield runs, leader, node


def test_ten_thousand_strangers_keep_no_worker_out(port: int, ported: tuple[OwnRuns, OperatorProcess, Node]) -> None:
    runs, leader, node = ported
    crowd: list[socket.socket] = []
    try:
        for number in range(CONNECTIONS):
            source = STRANGERS[number % len(STRANGERS)]
            with suppress(OSError):
                crowd.append(socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0)))
        assert len(crowd) > CONNECTIONS * 9 // 10
        assert leader.page("readyz")[0] == 200
        worker = worker_of(node)
        welcomed = leader.metric('tidegate_pool_connections_total{outcome="welcome"}')
        node.kill(worker)
        node.start(worker.pod)

        def welcome() -> bool:
            return leader.metric('tidegate_pool_connections_total{outcome="welcome"}') > welcomed

        wait_until(welcome, seconds=60, what="the worker to be welcomed")
        runs.create(a_run("beside").warm("tasks:double").payload(number=2).built)
        assert runs.wait("beside", "Succeeded")["result"] == 4
    finally:
        for one in crowd:
            one.close()
