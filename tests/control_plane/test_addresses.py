"""An operator that isn't told where to listen answers by IPv4 and IPv6, and works in a pod whose apiserver has an IPv6 address."""

import socket
from pathlib import Path

from support.operator import OwnRuns
from support.pools import pooled_operator, with_secret
from support.servers import answers, free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane


def test_every_port_of_an_operator_answers_by_ipv4_and_ipv6(plane: ControlPlane, tmp_path: Path) -> None:
    with_secret(OwnRuns(plane, "addresses"))
    dispatch, why = free_port(), free_port()
    settings = {"host": "", "why_port": str(why), "why_callers": "system:serviceaccount:default:web"}
    with pooled_operator(plane, log=tmp_path / "log", port=dispatch, identity="addresses", **settings) as operator:
        operator.wait_leading()
        wait_until(lambda: answers(dispatch), what="the dispatch port to open: a moment after the runs are known")
        for port in (operator.health_port, why, dispatch):
            for host in ("127.0.0.1", "::1"):
                with socket.create_connection((host, port), timeout=120) as connection:
                    assert connection.getpeername()[:2] == (host, port)
