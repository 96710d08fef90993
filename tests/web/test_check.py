"""`helm test`: every part is asked, and what is wrong is named."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.rights import RELEASE
from support.web import MirrorThread, Stack
from tidegate_web.health.check import CheckFailedError, check

LEASE = "tidegate-operator"


class Answers(BaseHTTPRequestHandler):
    """200, or the code that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def leader(stack: Stack) -> Iterator[None]:
    release = stack.runs.kube.within(RELEASE)
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    spec = {"holderIdentity": "operator-0", "renewTime": now, "leaseDurationSeconds": 300}
    release.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}, "spec": spec})
    yield
    release.delete("leases", LEASE)


@pytest.mark.usefixtures("leader")
def test_an_installation_that_works_passes_and_a_part_that_is_away_is_named(
    stack: Stack, mirror: MirrorThread, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = stack.parts("web", operator_lease_namespace=RELEASE, operator_lease_name=LEASE).services
    check(made, addresses={"Web app": f"{address}/404"}, seconds=30)
    states = dict(re.findall(r"^(\w[\w ]+?)  +(up|down|degraded) ", capsys.readouterr().out, re.MULTILINE))
    assert states == dict.fromkeys(("Operator", "Postgres", "Mirror", "Redis", "Kubernetes", "Web app"), "up")
    stack.redis.stop()
    with pytest.raises(CheckFailedError) as failed:
        check(made, addresses={"Web app": f"{address}/503", "Streams": "http://127.0.0.1:1/"}, seconds=0)
    said = str(failed.value)
    assert "Redis is down" in said
    assert "Web app is down" in said
    assert "503" in said
    assert "Streams is down: http://127.0.0.1:1/ doesn't answer" in said
    assert "Postgres" not in said


def test_a_release_whose_operator_never_led_fails_with_that(stack: Stack, mirror: MirrorThread) -> None:
    made = stack.parts("web", operator_lease_namespace=RELEASE, operator_lease_name=LEASE).services
    with pytest.raises(CheckFailedError, match=r"^Operator is down: no operator leads"):
        check(made, addresses={}, seconds=2)
