"""TLS between the parts: the right authority is served, a wrong one and plain connections are refused, and a renewed certificate
counts without a restart."""

import base64
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import tls
from support.asked import Asked, unknown, until_answered
from support.rights import RELEASE
from support.servers import wait_until
from support.web import Process, Stack
from tidegate.connections import PodConnection
from tidegate.errors import ApiError
from tidegate_cluster.pki import Authority, Certificate

OPERATOR = "tidegate-operator.tidegate.svc"
SECRET = "operator-tls"
THREADS = 4


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return tls.make_authority(tmp_path_factory.mktemp("right"))


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return tls.make_authority(tmp_path_factory.mktemp("wrong"))


def put(shown: Certificate, folder: Path) -> None:
    """Into a folder, as a mounted Secret has it: each file is replaced by another."""
    folder.mkdir(exist_ok=True)
    for source, name in ((shown.key, "tls.key"), (shown.certificate, "tls.crt")):
        fresh = folder / f"{name}.new"
        shutil.copy(source, fresh)
        fresh.replace(folder / name)


@pytest.fixture(params=["serve", "all"])
def process(request: pytest.FixtureRequest, shared_stack: Stack, right: Authority, tmp_path: Path) -> Iterator[Process]:
    put(tls.server_certificate(right), tmp_path / "tls")
    log = tmp_path / "log"
    folder = tmp_path / "tls"
    with shared_stack.process(request.param, actor="web", log=log, internal_tls_folder=folder, threads=THREADS) as made:
        yield made


def asked(process: Process, ca_file: Path | None, *, scheme: str = "https", seconds: float = 20) -> ApiError:
    """What the library of runs hears at the port of pods, with a token that is no good."""
    token = process.log.with_name("token")
    token.write_text("none")
    connection = PodConnection(
        url=f"{scheme}://localhost:{process.internal_port}",
        run_uid="uid",
        token_file=str(token),
        ca_file=str(ca_file) if ca_file else None,
    )
    with pytest.raises(ApiError) as refused:
        connection.load_checkpoint(seconds=seconds)
    return refused.value


def serial(process: Process, authority: Authority) -> object:
    context = ssl.create_default_context(cafile=authority.ca)
    with (
        socket.create_connection(("localhost", process.internal_port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as made,
    ):
        return (made.getpeercert() or {})["serialNumber"]


def test_pods_reach_the_web_app_by_its_own_authority_alone(
    process: Process, right: Authority, wrong: Authority, tmp_path: Path
) -> None:
    assert asked(process, right.ca).status == 403
    for ca_file in (wrong.ca, None):
        assert "is not trusted" in str(asked(process, ca_file))
    plain = asked(process, None, scheme="http", seconds=0.5)
    assert plain.status is None
    assert "no answer" in str(plain)
    # What people call stays as it is: the Ingress encrypts it.
    with socket.create_connection(("localhost", process.port)) as public:
        public.sendall(b"GET /login HTTP/1.0\r\n\r\n")
        assert public.recv(12).endswith(b" 200")
    before = serial(process, right)
    put(tls.server_certificate(right, name="renewed"), tmp_path / "tls")
    wait_until(lambda: serial(process, right) != before, what="the renewed certificate")
    renewed = serial(process, right)
    (tmp_path / "tls/tls.crt").write_text("half of one")
    assert serial(process, right) == renewed, "the last good one stays"
    assert asked(process, right.ca).status == 403


def test_clients_that_never_finish_a_handshake_keep_no_other_out(process: Process, right: Authority) -> None:
    silent = [socket.create_connection(("localhost", process.internal_port)) for _ in range(THREADS + 1)]
    for each in silent:
        each.sendall(b"\x16\x03\x01\x02")
    assert asked(process, right.ca, seconds=60).status == 403
    for each in silent:
        each.close()


@pytest.fixture(scope="module")
def over_tls(shared_stack: Stack, right: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """An operator whose certificate is in a Secret."""
    shown = tls.server_certificate(right, name="operator", names=(f"DNS:{OPERATOR}",))
    files = {"tls.crt": shown.certificate, "tls.key": shown.key, "ca.crt": right.ca}
    data = {name: base64.b64encode(path.read_bytes()).decode() for name, path in files.items()}
    release = shared_stack.runs.kube.within(RELEASE)
    release.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data})
    made = Asked(shared_stack, tmp_path_factory.mktemp("why"), pod="operator-tls", why_tls_secret=SECRET)
    with made.operator:
        made.operator.wait_leading()
        yield made
    release.delete("secrets", SECRET)


def test_the_web_app_asks_the_operator_over_tls_and_checks_its_name(
    over_tls: Asked, right: Authority, wrong: Authority
) -> None:
    over_tls.waiting("held")
    good = {"operator_ca_file": right.ca, "operator_server_name": OPERATOR}
    until_answered(over_tls.me(**good), "held", "ConcurrencyLimit")
    bad = ({"operator_ca_file": wrong.ca}, {"operator_server_name": "other.tidegate.svc"}, {"operator_ca_file": None})
    for changes in bad:
        assert "doesn't answer" in unknown(over_tls.me(**{**good, **changes}), "held")
