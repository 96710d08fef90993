"""The web app by IPv6: it answers there unless it is told where to listen, and knows clients by their own addresses."""

import base64
import re
from pathlib import Path

import pytest
import requests
from support.pods import Pod
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.auth.parts import REFUSED_TOKENS


def sign_in(site: str, *, headers: dict[str, str] | None = None, password: str = PASSWORD) -> int:
    with requests.Session() as client:
        found = re.search(r"""name="csrf_token" value="([^"]+)""", client.get(f"{site}/login").text)
        assert found is not None
        form = {"email": EMAIL, "password": password, "csrf_token": found[1]}
        return client.post(f"{site}/login", data=form, headers=headers, allow_redirects=False).status_code


def addresses(parts: Parts) -> list[str]:
    """Of those who signed in, in turn."""
    return [row.address for row in parts.rows("SELECT address FROM audit WHERE action = 'session.open' ORDER BY id")]


@pytest.mark.parametrize("command", ["all", "serve"])
def test_every_port_answers_by_ipv4_and_ipv6(stack: Stack, tmp_path: Path, command: str) -> None:
    parts = stack.parts("web")
    with stack.process(command, actor="web", log=tmp_path / "log", host="") as process:
        for host in ("127.0.0.1", "[::1]"):
            assert requests.get(f"http://{host}:{process.probes}/readyz", timeout=120).status_code == 200
            assert (
                requests.get(f"http://{host}:{process.internal_port}/internal/v1/none", timeout=120).status_code == 404
            )
            # What pods call is on a port of its own, by IPv6 as well.
            assert requests.get(f"http://{host}:{process.port}/internal/v1/none", timeout=120).status_code == 404
            assert sign_in(f"http://{host}:{process.port}") == 303
    assert addresses(parts) == ["127.0.0.1", "::1"]


def test_addresses_that_proxies_write_have_one_spelling(stack: Stack, tmp_path: Path) -> None:
    parts = stack.parts("web")
    written = ("[2001:DB8::1]:4711", "2001:db8:0::1", "::ffff:203.0.113.7", "203.0.113.7:80")
    with stack.process("serve", actor="web", log=tmp_path / "log", trusted_proxies=1) as process:
        for address in written:
            assert sign_in(f"http://127.0.0.1:{process.port}", headers={"X-Forwarded-For": address}) == 303
    assert addresses(parts) == ["2001:db8::1", "2001:db8::1", "203.0.113.7", "203.0.113.7"]


def test_a_pod_that_shows_forged_tokens_slows_none_that_shares_its_64(stack: Stack) -> None:
    parts = stack.parts("web")
    pod, other = Pod(stack, parts), Pod(stack, parts, "other")
    forged = f"{pod.token.rpartition('.')[0]}."
    for number in range(REFUSED_TOKENS.requests + 20):
        signature = base64.urlsafe_b64encode(f"signature {number}".encode()).decode().rstrip("=")
        answer = pod.report({"progress": 0.1}, token=f"{forged}{signature}", address="2001:db8:0:1::a")
    assert answer.status_code == 429
    assert other.report({"progress": 0.1}, address="2001:db8:0:1::b").status_code == 204
