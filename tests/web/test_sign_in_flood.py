"""A flood of sign-ins takes neither the process's memory nor the audit log, and locks no user out; two web processes count together."""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text
from support.callers import csrf_token
from support.mail import Mailbox
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Parts, Process, Stack, make_quarantine
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.shared.clock import SystemClock

WRONG = "nobody has this one"
MEMORY = 400 * 1024
"""KiB: less than the 512 MiB that the chart gives the pod."""


@dataclass(kw_only=True)
class Sites:
    """Two web processes beside each other, behind a proxy that reports where a client comes from."""

    processes: list[Process]

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.processes[number % 2].port}"

    def login(
        self,
        number: int,
        *,
        email: str,
        password: str = WRONG,
        address: str = "192.0.2.1",
        browser: requests.Session | None = None,
    ) -> requests.Response:
        """Sign in at one of the two, from this address."""
        headers = {"X-Forwarded-For": address}
        with browser or requests.Session() as asks:
            page = asks.get(f"{self.url(number)}/login", headers=headers, timeout=120)
            found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
            assert found is not None
            form = {"email": email, "password": password, "csrf_token": found.group(1)}
            return asks.post(
                f"{self.url(number)}/login", data=form, headers=headers, timeout=120, allow_redirects=False
            )


def make_sites(stack: Stack, folder: Path, cleanup: ExitStack, **settings: Any) -> Sites:
    made = []
    for number in range(2):
        log = folder / f"web-{number}.log"
        values = {"trusted_proxies": 1, "threads": 32} | settings
        made.append(cleanup.enter_context(stack.process("serve", actor="web", log=log, **values)))
    return Sites(processes=made)


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


def without_csrf(page: str) -> str:
    """A page without what differs in each session."""
    return re.sub(r'name="csrf-token" content="[^"]*"', "", page)


def peak(process: Process) -> int:
    """The most memory that the server and its worker had, in KiB."""
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    most = 0
    for pid in children:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert found is not None
        most = max(most, int(found.group(1)))
    return most


def test_many_passwords_at_once_are_answered_before_they_take_the_memory(
    stack: Stack, tmp_path: Path, cleanup: ExitStack
) -> None:
    sites = make_sites(stack, tmp_path, cleanup)
    answers: list[requests.Response] = []

    def one(number: int) -> None:
        answers.append(sites.login(0, email=f"u{number}@example.com", address=f"198.51.100.{number}"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reported = Counter(answer.status_code for answer in answers)
    assert set(reported) == {401, 503}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)
    assert peak(sites.processes[0]) < MEMORY


def test_fresh_addresses_of_mail_from_one_network_are_counted_together_over_both_processes(
    stack: Stack, tmp_path: Path, cleanup: ExitStack
) -> None:
    sites = make_sites(stack, tmp_path, cleanup, login_network_attempts=4)
    for number in range(4):
        address = f"2001:db8:1:1::{number + 1}"
        assert sites.login(number, email=f"u{number}@example.com", address=address).status_code == 401
    for number in range(2):
        answer = sites.login(number, email="fresh@example.com", address=f"2001:db8:1:1:ffff::{number}")
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 60
    assert sites.login(0, email="fresh@example.com", address="2001:db8:1:2::1").status_code == 401


def test_all_networks_together_have_a_limit_that_a_known_device_is_spared(
    stack: Stack, tmp_path: Path, cleanup: ExitStack
) -> None:
    sites = make_sites(stack, tmp_path, cleanup, login_attempts_per_minute=3)
    browser = requests.Session()
    assert sites.login(0, email=EMAIL, password=PASSWORD, browser=browser).status_code == 303
    reported = [sites.login(n, email=f"u{n}@example.com", address=f"198.51.100.{n}").status_code for n in range(6)]
    assert reported == [401, 401, 401, 429, 429, 429]
    assert sites.login(1, email=EMAIL, password=PASSWORD, address="198.51.100.99", browser=browser).status_code == 303


def test_failures_of_others_lock_no_user_out(stack: Stack, tmp_path: Path, cleanup: ExitStack) -> None:
    sites = make_sites(stack, tmp_path, cleanup, login_attempts=2)
    owner, session = requests.Session(), requests.Session()
    for browser in (owner, session):
        assert sites.login(0, email=EMAIL, password=PASSWORD, address="192.0.2.7", browser=browser).status_code == 303
    # From enough networks that the account as a whole has had more than its free attempts, all at once: the first delay is short.
    with ThreadPoolExecutor(max_workers=4) as at_once:
        reported = list(at_once.map(lambda n: sites.login(n, email=EMAIL, address=f"198.51.100.{n}"), range(20)))
    counts = Counter(answer.status_code for answer in reported)
    assert counts[401] >= 10
    assert counts[429] > 0
    assert set(counts) <= {401, 429, 503}  # the last where hashing has more to do than it takes on
    assert max(int(answer.headers["Retry-After"]) for answer in reported if answer.status_code == 429) <= 30
    # Their known device signs in, their session goes on and changes the password; a new device waits, and then gets in.
    assert sites.login(1, email=EMAIL, password=PASSWORD, address="192.0.2.7", browser=owner).status_code == 303
    page = session.get(f"{sites.url(1)}/account", timeout=120)
    assert page.status_code == 200

    def new_device() -> bool:
        return sites.login(0, email=EMAIL, password=PASSWORD, address="203.0.113.9").status_code == 303

    wait_until(new_device, what="the new device")


def test_a_known_device_has_a_count_of_its_own(stack: Stack) -> None:
    parts = stack.parts("web", login_attempts=2)
    me = parts.sign_in()
    me.client.post("/logout", data={"csrf_token": me.csrf})

    def login(password: str) -> int:
        form = {"email": EMAIL, "password": password, "csrf_token": csrf_token(me.client.get("/login"))}
        return me.client.post("/login", data=form).status_code

    assert [login("wrong"), login("wrong"), login(PASSWORD)] == [401, 401, 429]


def test_a_device_is_known_for_the_account_and_the_password_that_it_signed_in_with(stack: Stack) -> None:
    parts = stack.parts("web", login_attempts_per_minute=1)
    me = parts.sign_in()
    parts.client().post("/login")
    client = parts.client()
    client.set_cookie("tidegate-device", me.client.get_cookie("tidegate-device").value)  # type: ignore[union-attr]

    def login(email: str, password: str) -> int:
        form = {"email": email, "password": password, "csrf_token": csrf_token(client.get("/login"))}
        return client.post("/login", data=form).status_code

    assert login("somebody@example.com", "wrong") == 401  # an unknown device's, and the last that is free
    assert login("somebody@example.com", "wrong") == 429
    assert login(EMAIL, "wrong") == 401
    body = {"current": PASSWORD, "new": "a password nobody has guessed"}
    assert me.post("/api/v1/me/password", body).status_code == 204
    assert login(EMAIL, "a password nobody has guessed") == 429


def test_failures_are_one_audit_row_with_their_number(stack: Stack, tmp_path: Path, cleanup: ExitStack) -> None:
    sites = make_sites(stack, tmp_path, cleanup, login_window_seconds=86400)
    for number in range(6):
        sites.login(number, email=EMAIL, address=f"2001:db8::{number + 1}")
    sites.login(0, email=EMAIL, address="192.0.2.1")
    rows = stack.parts("web").rows("SELECT * FROM audit WHERE outcome = 'wrong password' ORDER BY id")
    assert [(row.actor, row.address, row.detail["count"]) for row in rows] == [
        (EMAIL, "2001:db8::/64", 6),
        (EMAIL, "192.0.2.1", 1),
    ]
    assert rows[0].detail["lastAt"] >= rows[0].at.isoformat()[:19]


def test_fresh_addresses_of_mail_from_one_network_are_one_audit_row(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", login_window_seconds=86400, **mailbox.settings())

    def send(page: str, number: int) -> int:
        client = parts.client()
        form = {"email": f"u{number}@example.com", "password": WRONG, "csrf_token": csrf_token(client.get(page))}
        return client.post(page, data=form).status_code

    assert [send("/login", number) for number in range(6)] == [401] * 6
    assert [send("/forgot", number) for number in range(6)] == [200] * 6

    def rows() -> list[Any]:
        return parts.rows("SELECT * FROM audit WHERE outcome = 'no such user' ORDER BY id")

    wait_until(lambda: sum(row.detail["count"] for row in rows()) == 12, what="all of them to be counted")
    assert [(row.action, row.detail["count"]) for row in rows()] == [("session.open", 6), ("user.forgot-password", 6)]
    assert rows()[0].detail["email"] == "u5@example.com"


def test_refused_callbacks_of_a_provider_are_one_audit_row(stack: Stack) -> None:
    parts = stack.parts("web", github_client_id="x", github_client_secret="y")
    client = parts.client()
    for _ in range(3):
        assert client.get("/login/github/callback?error=access_denied").status_code == 403
    (row,) = parts.rows("SELECT * FROM audit WHERE outcome = 'refused'")
    assert row.detail["count"] == 3


def test_links_are_counted_apart_from_passwords(stack: Stack, mailbox: Mailbox) -> None:
    limits: dict[str, Any] = {"forgot_mails": 1, "login_attempts": 1, "login_network_attempts": 4}
    processes = itertools.cycle(stack.parts("web", **limits, **mailbox.settings()) for _ in range(2))

    def forgot(email: str) -> int:
        client = next(processes).client()
        form = {"email": email, "csrf_token": csrf_token(client.get("/forgot"))}
        return client.post("/forgot", data=form).status_code

    assert [forgot(EMAIL) for _ in range(3)] == [200, 200, 200]
    mailbox.next()
    next(processes).sign_in()  # no wrong password was given
    assert [forgot("fresh@example.com"), forgot("another@example.com")] == [200, 429]
    assert mailbox.mails == []


def test_asking_again_for_a_link_makes_nothing_worthless_that_was_mailed(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    paths = []
    for _ in range(2):
        client = parts.client()
        client.post("/forgot", data={"email": EMAIL, "csrf_token": csrf_token(client.get("/forgot"))})
        found = re.search(r"http://tidegate\.example\.com(/\S+)", mailbox.next().get_content())  # type: ignore[attr-defined]
        assert found is not None
        paths.append(found.group(1))
    client = parts.client()
    form = {"password": "a password nobody has guessed", "csrf_token": csrf_token(client.get(paths[0]))}
    assert client.post(paths[0], data=form).status_code == 303
    assert parts.client().get(paths[1]).status_code == 404


def test_a_request_for_a_link_takes_no_time_that_depends_on_the_address(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    answers = []
    with parts.engine.begin() as connection:
        connection.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
        for email in (EMAIL, "nobody@example.com"):
            client = parts.client()
            form = {"email": email, "csrf_token": csrf_token(client.get("/forgot"))}
            answers.append(client.post("/forgot", data=form))
    assert [answer.status_code for answer in answers] == [200, 200]
    reported = [
        each.text.replace(email, "") for each, email in zip(answers, (EMAIL, "nobody@example.com"), strict=True)
    ]
    assert without_csrf(reported[0]) == without_csrf(reported[1])
    mailbox.next()


def test_limits_hold_within_a_process_while_redis_is_away(stack: Stack) -> None:
    parts = stack.parts("web", login_network_attempts=2)
    stack.redis.stop()

    def login(email: str) -> int:
        client = parts.client()
        form = {"email": email, "password": "wrong", "csrf_token": csrf_token(client.get("/login"))}
        return client.post("/login", data=form).status_code

    assert [login(f"u{number}@example.com") for number in range(3)] == [401, 401, 429]
    stack.redis.start()


def test_old_entries_of_the_audit_log_are_deleted(parts: Parts) -> None:
    parts.sign_in()
    old = datetime.now(UTC) - timedelta(days=401)
    with parts.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit (at, actor, address, action, outcome, detail) "
                "SELECT :old, 'x', '', 'old', 'done', '{}' FROM generate_series(1, 2500)"
            ),
            {"old": old},
        )
    for days, left in ((0, 2500), (400, 0)):
        pruner = Pruner(
            engine=parts.engine,
            clock=SystemClock(),
            quarantine=make_quarantine(),
            stop=threading.Event(),
            seconds=1,
            audit_days=days,
            retention_days=0,
        )
        pruner.look()
        assert parts.rows("SELECT count(*) AS n FROM audit WHERE action = 'old'")[0].n == left
    assert parts.rows("SELECT * FROM audit WHERE action = 'session.open'")
