"""What a run waits for, asked of the leader on its internal port with a service account's token."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_queue, a_run
from support.kube import Kube
from support.operator import OperatorProcess, Runs
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.control.why_server import MOST_REFUSED

ASKER = "asker"
CALLER = f"system:serviceaccount:default:{ASKER}"


class Port:
    """The leader's port, and tokens for it."""

    def __init__(self, kube: Kube, port: int) -> None:
        self._kube, self._port = kube, port

    def token(self, account: str = ASKER, *, audience: str = "tidegate-operator") -> str:
        return self._kube.token(account, audience=audience)

    def ask(self, run: str, *, token: str | None) -> tuple[int, dict[str, Any]]:
        """(status, body) of the answer."""
        url = f"http://127.0.0.1:{self._port}/why/v1/namespaces/default/taskruns/{run}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def port(plane: ControlPlane, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    log: Path = tmp_path_factory.mktemp("why") / "log"
    number = free_port()
    for account in (ASKER, "somebody"):
        kube.create_account(account)
    settings = {"why_port": str(number), "why_callers": CALLER}
    with OperatorProcess(plane, log=log, **settings) as operator:
        operator.wait_leading()
        yield Port(kube, number)


def test_a_waiting_run_is_reported_its_reason_and_its_place_and_nothing_is_written(runs: Runs, port: Port) -> None:
    runs.create(a_queue("asked", concurrencyLimit=0))
    for name, priority in (("asked-low", 0), ("asked-high", 5), ("asked-lowest", -5)):
        runs.create(a_run(name).spec(queue="asked", priority=priority).built)
    token = port.token()
    wait_until(
        lambda: port.ask("asked-lowest", token=token)[1].get("place", {}).get("waiting") == 3, what="all three to wait"
    )
    for name in ("asked-low", "asked-high", "asked-lowest"):
        runs.wait(name, "Pending", reason="ConcurrencyLimit")
    versions = [runs.get(n)["metadata"]["resourceVersion"] for n in ("asked-low", "asked-lowest")]
    status, body = port.ask("asked-low", token=token)
    assert status == 200
    assert (body["phase"], body["reason"]) == ("Pending", "ConcurrencyLimit")
    assert "Queue asked runs 0 of 0 at once" in body["message"]
    assert body["place"] == {"position": 2, "aheadByPriority": 1, "waiting": 3}
    assert port.ask("asked-lowest", token=token)[1]["place"]["position"] == 3
    assert [runs.get(n)["metadata"]["resourceVersion"] for n in ("asked-low", "asked-lowest")] == versions


def test_only_the_accounts_that_are_named_are_answered(runs: Runs, port: Port) -> None:
    runs.create(a_run("private").spec(suspend=True).built)
    assert port.ask("private", token=None)[0] == 401
    assert port.ask("private", token="forged")[0] == 401
    assert port.ask("private", token=port.token(audience="https://elsewhere"))[0] == 401
    assert port.ask("private", token=port.token("somebody"))[0] == 403
    good = port.token()
    wait_until(lambda: port.ask("private", token=good)[0] == 200, what="the run to be known")
    assert port.ask("private", token=good)[1]["reason"] == "Suspended"
    assert port.ask("no-such-run", token=good)[0] == 404


def reviews(plane: ControlPlane) -> int:
    """TokenReviews that the operator has asked for."""
    return sum(entry.what == "create tokenreviews" for entry in plane.requests("operator"))


def forged(token: str, number: int) -> str:
    """The token's claims with a signature of no key."""
    signature = base64.urlsafe_b64encode(f"signature {number}".encode()).decode().rstrip("=")
    return f"{token.rpartition('.')[0]}.{signature}"


def test_what_can_be_no_token_of_a_caller_costs_no_review(plane: ControlPlane, runs: Runs, port: Port) -> None:
    stranger, elsewhere = port.token("somebody"), port.token(audience="https://elsewhere")
    before = reviews(plane)
    for number in range(20):
        assert port.ask("any", token=f"random-{number}")[0] == 401
    assert port.ask("any", token=stranger)[0] == 403
    assert port.ask("any", token=elsewhere)[0] == 401
    assert reviews(plane) == before


def test_an_address_that_shows_many_forged_tokens_is_slowed_down(plane: ControlPlane, runs: Runs, port: Port) -> None:
    good = port.token()
    assert port.ask("any", token=good)[0] == 404
    before = reviews(plane)
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda number: port.ask("any", token=forged(good, number))[0], range(3 * MOST_REFUSED))
    statuses = set(asked)
    assert statuses == {401, 429}
    # A window may have ended in between.
    assert reviews(plane) - before <= 2 * MOST_REFUSED
    assert port.ask("any", token=good)[0] == 404  # what is known goes on
