"""The dashboard as people see it: the chart's own pods behind a port-forward, and a real Chromium before it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect
from support.browser import chromium, come, signed_in
from support.builders import BUSYBOX, EXAMPLES, a_run
from support.cluster import PROJECT, SECONDS, ClusterRuns, forwarded
from support.servers import wait_until
from support.web import Events
from tidegate_api.names import API_VERSION
from tidegate_cluster.errors import ClusterError
from tidegate_demo.install import ADMIN, NAMESPACE, RELEASE
from tidegate_demo.kubectl import Kubectl
from tidegate_web.mirror.logs.lines import LOST

RUNS = f"/api/v1/projects/{PROJECT}/runs"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def password(kubectl: Kubectl) -> str:
    """The admin's, that the chart has made up."""
    return kubectl.secret(NAMESPACE, f"{RELEASE}-admin", key="password")


@pytest.fixture(scope="module")
def site(kubectl: Kubectl, password: str) -> Iterator[str]:
    """The web app."""
    with forwarded(kubectl, f"svc/{RELEASE}-web") as address:
        yield address


def signs_in(site: str, password: str) -> bool:
    with requests.Session() as client:
        page = client.get(f"{site}/login", timeout=SECONDS)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        form = {"email": ADMIN, "password": password, "csrf_token": found.group(1) if found else ""}
        return client.post(f"{site}/login", data=form, allow_redirects=False, timeout=SECONDS).status_code == 303


@pytest.fixture
def page(browser: Browser, site: str, password: str) -> Iterator[Page]:
    """Signed in."""
    expect.set_options(timeout=SECONDS * 1000)
    # On a busy machine Postgres may not answer for a moment, which the web app says as a 503.
    wait_until(lambda: signs_in(site, password), seconds=SECONDS, what="a sign-in")
    with signed_in(browser, site, email=ADMIN, password=password, by_form=True) as made:
        expect(made).to_have_url(re.compile("/projects/[a-z]+/runs$"))
        made.goto(f"/projects/{PROJECT}/runs")
        expect(made.locator("[data-live]")).to_have_attribute("data-state", "live")
        made.evaluate("window.stayed = true")
        yield made


def post(page: Page, body: dict[str, Any]) -> dict[str, Any]:
    """Create a run as a script of a signed-in person does."""
    token = page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
    answer = page.request.post(RUNS, data=body, headers={"X-CSRFToken": token})
    assert answer.status == 201, answer.text()
    made: dict[str, Any] = answer.json()
    return made


def shown(page: Page, uid: str) -> Locator:
    """The row of a run that has just come, in a list that is asked to show what came."""
    row = come(page, page.locator(f"#run-{uid}"))
    page.evaluate("window.stayed = true")
    return row


@pytest.mark.quick
def test_a_run_from_its_request_to_the_archive(runs: ClusterRuns, page: Page) -> None:
    task = {"image": EXAMPLES, "entrypoint": "tasks:resize"}
    made = post(page, {"name": "album", "task": task, "payload": {"pictures": 24, "width": 320, "seconds": 8}})
    row = shown(page, made["uid"])
    expect(row).to_contain_text("Running")
    assert page.evaluate("window.stayed") is True

    row.get_by_role("link", name="album").click()
    expect(page.get_by_role("heading", name="album")).to_be_visible()
    page.evaluate("window.stayed = true")
    expect(page.locator("#progress")).to_contain_text(re.compile(r"\d+ %"))
    before = page.locator("#progress").inner_text()
    expect(page.locator("[data-log]")).to_contain_text("resizing picture 3 to 320 pixels")
    expect(page.locator("#progress")).not_to_contain_text(before)
    expect(page.locator("#head")).to_contain_text("Succeeded")
    expect(page.locator("#data")).to_contain_text('"pictures": 24')
    expect(page.locator("[data-log]")).to_contain_text("resizing picture 24 to 320 pixels")
    assert page.evaluate("window.stayed") is True

    runs.kube.delete("taskruns.tidegate.dev", "album")
    page.reload()
    expect(page.locator("#head")).to_contain_text("Succeeded")
    expect(page.locator("[data-log]")).to_contain_text("resizing picture 24 to 320 pixels")
    archived = page.request.get(f"{RUNS}/{made['uid']}/result")
    assert archived.json() == {"pictures": 24, "width": 320}


def test_a_run_changes_in_the_list_without_a_reload(page: Page) -> None:
    made = post(page, {"name": "listed", "task": {"image": BUSYBOX, "command": ["sh", "-c", "sleep 10"]}})
    row = shown(page, made["uid"])
    expect(row).to_contain_text("Running")
    expect(row).to_contain_text("Succeeded")
    assert page.evaluate("window.stayed") is True


def test_cancelling_by_the_button(runs: ClusterRuns, page: Page) -> None:
    made = runs.start(a_run("unwanted").python("tasks:import_orders"))
    page.on("dialog", lambda dialog: dialog.accept())
    shown(page, made["metadata"]["uid"]).get_by_role("link", name="unwanted").click()
    expect(page.locator("[data-log]")).to_contain_text("imported 10 orders")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#head")).to_contain_text("Cancelled")
    expect(page.locator("[data-log]")).to_contain_text("cancelled: rolled back the open transaction")
    assert runs.wait(made["metadata"]["name"], "Cancelled")["reason"] == "Cancelled"


def test_the_leader_answers_what_a_run_waits_for(runs: ClusterRuns, page: Page) -> None:
    queue = {"metadata": {"name": "shut"}, "spec": {"concurrencyLimit": 0}}
    runs.create({"apiVersion": API_VERSION, "kind": "Queue"} | queue)
    post(page, {"name": "patient", "task": {"image": BUSYBOX, "command": ["true"]}, "queue": "shut"})
    page.goto(f"/projects/{PROJECT}/runs/patient")
    expect(page.locator("[data-why]")).to_contain_text("ConcurrencyLimit")
    expect(page.locator("[data-why]")).to_contain_text("place 1 of 1")
    runs.kube.patch("queues.tidegate.dev", "shut", {"spec": {"concurrencyLimit": 1}})
    expect(page.locator("#head")).to_contain_text("Succeeded")


def test_streams_have_a_server_of_their_own(kubectl: Kubectl, runs: ClusterRuns, page: Page) -> None:
    cookies = {c.get("name"): c.get("value") for c in page.context.cookies()}
    with (
        forwarded(kubectl, f"svc/{RELEASE}-live") as live,
        Events(f"{live}/live/v1/projects/{PROJECT}/events", cookie=f"tidegate={cookies['tidegate']}") as stream,
    ):
        assert stream.status == 200
        assert stream.next()[0] == "hello"
        runs.start(a_run("streamed").shell("true"))
        seen: list[str] = []
        while "Succeeded" not in seen:
            data = stream.next()[2]
            seen += [data["phase"]] if data.get("name") == "streamed" else []


def test_a_pod_reports_the_progress_of_no_other_run(runs: ClusterRuns) -> None:
    script = """
import json, os, urllib.error, urllib.request

other = json.load(open(os.environ["TIDEGATE_PAYLOAD_FILE"]))["other"]
token = open(os.environ["TIDEGATE_TOKEN_FILE"]).read()

def tell(uid, token):
    url = f"{os.environ['TIDEGATE_API_URL']}/internal/v1/runs/{uid}/progress"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, b'{"progress": 0.9}', headers)).status
    except urllib.error.HTTPError as error:
        return error.code

own = os.environ["TIDEGATE_RUN_UID"]
codes = {"own": tell(own, token), "other": tell(other, token), "forged": tell(own, token[:-8] + "AAAAAAAA")}
open(os.environ["TIDEGATE_RESULT_FILE"], "w").write(json.dumps(codes))
"""
    victim = runs.start(a_run("victim").shell("trap 'exit 0' TERM; while :; do sleep 0.2; done"))
    runs.wait("victim", "Running")
    task = {"image": EXAMPLES, "command": ["python", "-c", script]}
    status = runs.end(a_run("liar").task(**task).payload(other=victim["metadata"]["uid"]), "Succeeded")
    runs.cancel("victim")
    assert status["result"] == {"own": 204, "other": 403, "forged": 403}


@pytest.fixture(scope="module")
def long_logs(kubectl: Kubectl) -> None:
    """A mirror that keeps more of a log than its node has in one file."""
    mirror = f"deployment/{RELEASE}-mirror"
    kubectl("-n", NAMESPACE, "set", "env", mirror, f"TIDEGATE_LOG_LIMIT_BYTES={128 * MIB}")
    kubectl("-n", NAMESPACE, "rollout", "status", mirror, "--timeout=120s")


def start_talkative(runs: ClusterRuns, page: Page, name: str, *, lines: int) -> str:
    """A run that writes a MiB a second; its uid, once the archive has it.

    Its node begins another file at each 10 MiB, and looks every 10 s.
    """
    write = """BEGIN { for (i = 1; i <= %d; i++) { printf "%%09d %%091d\\n", i, 0; if (i %% 9000 == 0) system("sleep 1") } }"""
    uid: str = runs.start(a_run(name).shell(f"awk '{write % lines}'"))["metadata"]["uid"]
    wait_until(lambda: page.request.get(f"{RUNS}/{uid}").status == 200, seconds=SECONDS, what=f"{name} in the archive")
    return uid


def assert_kept_once(page: Page, run: str, *, lines: int) -> None:
    """Each line is there once, or a mark where lines are missing.

    containerd begins another file wherever it is in its container's output. So lines beside a mark can be parts of lines: the rest
    of them was in a file that is gone. Where no file is missing the kubelet puts both parts together.
    """
    wait_until(lambda: bool(ends_of(page, run)), seconds=3 * SECONDS, what="the log's end")
    assert ends_of(page, run) == ["complete"]
    parts = stored_log(page, run).split(LOST.decode())
    expected = 1
    for index, part in enumerate(parts):
        kept = part.splitlines()
        if index and kept and not is_whole(kept[0]):
            del kept[0]
        if index + 1 < len(parts) and kept and not is_whole(kept[-1]):
            del kept[-1]
        for line in kept:
            assert is_whole(line), f"a part of a line, {line!r}, where no file is missing"
            number = int(line.split()[0])
            assert number == expected or (index and line is kept[0] and number > expected), f"{number}, not {expected}"
            expected = number + 1
    assert expected == lines + 1 or len(parts) > 1


def is_whole(line: str) -> bool:
    """Whether this is all of a line of `start_talkative`."""
    return bool(re.fullmatch(r"\d{9} 0{91}", line))


@pytest.mark.usefixtures("long_logs")
def test_a_log_that_its_node_cuts_into_files_is_kept_over_a_restart(
    kubectl: Kubectl, runs: ClusterRuns, page: Page
) -> None:
    uid = start_talkative(runs, page, "talkative", lines=260_000)
    wait_until(lambda: len(stored_log(page, uid)) > 8 * MIB, seconds=SECONDS, what="a part of the log")
    kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-mirror")
    runs.wait("talkative", "Succeeded")
    assert_kept_once(page, uid, lines=260_000)


@pytest.mark.usefixtures("long_logs")
def test_a_log_whose_node_is_files_ahead_of_its_reader_says_what_is_missing(
    kubectl: Kubectl, runs: ClusterRuns, page: Page
) -> None:
    uid = start_talkative(runs, page, "ahead", lines=700_000)
    wait_until(lambda: len(stored_log(page, uid)) > MIB, seconds=SECONDS, what="a part of the log")
    pod = runs.pods("ahead")[0]["metadata"]["name"]
    seen = set()

    def six_files() -> bool:
        seen.add(runs.kube.log(pod, container="task", limit_bytes=9))
        return len(seen) == 6

    with log_writes_held(kubectl):
        # The connections between node and mirror may hold as much as two files.
        wait_until(six_files, seconds=SECONDS, what="the node's sixth file")
    runs.wait("ahead", "Succeeded")
    assert_kept_once(page, uid, lines=700_000)
    assert LOST.decode() in stored_log(page, uid)


@contextmanager
def log_writes_held(kubectl: Kubectl) -> Iterator[None]:
    """Postgres takes no part of a log for a while.

    The lock is held by a session that goes on by itself: one of `kubectl exec` may break where a machine is slow, and would leave
    the lock behind.
    """
    psql = "psql --username=tidegate --quiet --no-align --tuples-only"
    holds = "query LIKE 'LOCK %' AND wait_event = 'PgSleep'"

    def in_pod(script: str) -> str:
        return kubectl("-n", NAMESPACE, "exec", f"statefulset/{RELEASE}-postgres", "--", "sh", "-c", script).strip()

    def answered(script: str) -> str | None:
        """None where the machine is too slow just now: it is asked again."""
        try:
            return in_pod(script)
        except ClusterError:
            return None

    in_pod(f"{psql} -c 'LOCK TABLE log_chunks IN EXCLUSIVE MODE; SELECT pg_sleep(3600)' < /dev/null > /dev/null 2>&1 &")
    count = f'{psql} -c "SELECT count(*) FROM pg_stat_activity WHERE {holds}"'  # noqa: S608 - our own words
    end = f'{psql} -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {holds}"'  # noqa: S608
    wait_until(lambda: answered(count) == "1", what="the lock")
    try:
        yield
    finally:
        wait_until(lambda: answered(end) is not None and answered(count) == "0", what="the lock to be given back")


def ends_of(page: Page, run: str) -> list[str]:
    """The end marks of a run's log."""
    answer = page.request.get(f"{RUNS}/{run}/logs?after={2**62}")
    assert answer.status == 200, answer.text()
    return [end["end"] for end in answer.json()["ends"]]


def stored_log(page: Page, run: str) -> str:
    """All that the archive has of a run's log."""
    texts: list[str] = []
    after = 0
    while True:
        answer = page.request.get(f"{RUNS}/{run}/logs?after={after}")
        assert answer.status == 200, answer.text()
        items: list[dict[str, Any]] = answer.json()["items"]
        if not items:
            return "".join(texts)
        texts += [item["text"] for item in items]
        after = items[-1]["id"]
