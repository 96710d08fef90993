"""The log on a run's page, in a browser: records of the task library are readable, and everything else is as it was written."""

import contextlib
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from support.browser import signed_in
from support.kubelet import Kubelet, Log
from support.runs import Json
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Stack
from tidegate.logs import Log as LibraryLog
from tidegate_api.job_names import job_name

LINES = "[data-log] .tg-line"


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has a run of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site_of(stack, tmp_path_factory.mktemp("logs")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def kubelet(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    folder = tmp_path_factory.mktemp("kubelet") / "pki"
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=folder) as made:
        yield made


def writing(stack: Stack, kubelet: Kubelet, name: str) -> tuple[Json, Log]:
    """A run whose pod writes."""
    run = stack.runs.create(name)
    uid = run["metadata"]["uid"]
    pod = f"{job_name(name, uid, 1)}-pod"
    stack.runs.pod(pod, owner=stack.runs.job(run), run_uid=uid, node=kubelet.name)
    stack.runs.pod_state(pod)
    return run, kubelet.log(pod)


def by_library(level: str, message: str, **values: object) -> bytes:
    """A line as the task library writes it."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        getattr(LibraryLog(), level)(message, **values)
    return written.getvalue().encode()


def look(page: Page, stack: Stack, run: Json) -> None:
    page.goto(f"/projects/{stack.project}/runs/{run['metadata']['name']}")


def test_records_of_the_library_are_reported_as_time_level_message_and_fields(
    stack: Stack, page: Page, kubelet: Kubelet
) -> None:
    run, log = writing(stack, kubelet, "resize")
    values = {
        "picture": "a.jpg",
        "size": 2**60 + 1,
        "loss": float("nan"),
        "note": "two words",
        "box": {"w": 1, "h": [2]},
    }
    line = by_library("info", "resized <img src=x onerror=alert(1)>", **values)
    log.write(line)
    look(page, stack, run)
    record = page.locator(LINES).first
    time = json.loads(line)["time"]
    expect(record).to_have_text(
        f"{time[11:23]} info resized <img src=x onerror=alert(1)> picture=a.jpg size=1152921504606846977 loss=NaN"
        ' note="two words" box={"w":1,"h":[2]}'
    )
    expect(record.locator(".tg-record-time")).to_have_attribute("title", time)
    expect(page.locator("[data-log] img")).to_have_count(0)
    log.write(
        by_library("warning", "slow")
        + by_library("error", "broken", why="line one\nline two")
        + by_library("debug", "x")
    )
    expect(page.locator(LINES).nth(3)).to_contain_text("debug x")
    for number, style in ((1, "odd"), (2, "bad"), (3, "dim")):
        expect(page.locator(LINES).nth(number)).to_have_class(f"tg-line tg-record tg-line-{style}")
    assert "why=line one\nline two" in page.locator(LINES).nth(2).inner_text()


@pytest.mark.parametrize(
    "line",
    [
        '{"message": "neither time nor level"}',
        '{"level": "unheard-of", "message": "no level of ours, and no time"}',
        '{"time": "2026-01-01T00:00:00.000Z", "level": "info"}',
        '{"time": "2026-01-01T00:00:00.000Z", "level": "info", "message": "cut of',
        '["time", "level", "message"]',
        "{}",
    ],
)
def test_other_json_stays_as_it_was_written(stack: Stack, page: Page, kubelet: Kubelet, line: str) -> None:
    run, log = writing(stack, kubelet, f"other-{zlib.crc32(line.encode())}")
    log.write(f"{line}\nend\n".encode())
    look(page, stack, run)
    expect(page.locator(LINES)).to_have_text([line, "end"])
    expect(page.locator(".tg-record")).to_have_count(0)


def test_a_record_that_comes_in_pieces_is_one(stack: Stack, page: Page, kubelet: Kubelet) -> None:
    run, log = writing(stack, kubelet, "pieces")
    long = "x" * 18_000  # the mirror stores what is longer than 16 KiB in pieces
    log.write(by_library("info", "long", text=long) + b"end\n")
    look(page, stack, run)
    expect(page.locator(LINES).nth(1)).to_have_text("end")
    expect(page.locator(LINES).first).to_contain_text(f"text={long}")
    expect(page.locator(".tg-record")).to_have_count(1)


def test_the_log_is_there_to_download_as_it_was_written(stack: Stack, page: Page, kubelet: Kubelet) -> None:
    run, log = writing(stack, kubelet, "raw")
    written = by_library("info", "done", file="<b>") + "\x1b[31mrot ä\x1b[0m\n".encode()
    log.write(written)
    look(page, stack, run)
    expect(page.locator(LINES).nth(1)).to_have_text("rot ä")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()
    assert download.value.suggested_filename == "raw.log"
    assert Path(download.value.path()).read_bytes() == written
    page.get_by_label("Attempt", exact=True).select_option("1")
    address = page.get_by_role("link", name="Download the log").get_attribute("href")
    assert address is not None
    answer = page.request.get(address)
    assert address.endswith("?attempt=1")
    assert (answer.body(), answer.headers["content-type"]) == (written, "text/plain; charset=utf-8")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert page.request.get(f"{address.partition('?')[0]}?attempt=2").body() == b""


def test_a_log_whose_place_is_gone_is_reported_from_the_beginning(stack: Stack, page: Page, kubelet: Kubelet) -> None:
    run, log = writing(stack, kubelet, "restored")
    log.write(b"one\ntwo\n")
    look(page, stack, run)
    expect(page.locator(LINES)).to_have_text(["one", "two"])
    # As before Postgres was restored from a backup: the page has seen a chunk that there isn't any more.
    chunk = {"id": 999_999, "attempt": 1, "pod": "gone", "offset": 0, "text": "of another time"}
    stale = f"retry: 100\n\nid: 999999\nevent: chunk\ndata: {json.dumps(chunk)}\n\n"
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=200, content_type="text/event-stream", body=stale)
        else:
            route.continue_()

    page.route("**/live/v1/**/logs**", answer)
    page.reload()
    expect(page.locator(LINES)).to_have_text(["one", "two"])
    log.write(b"three\n")
    expect(page.locator(LINES)).to_have_text(["one", "two", "three"])
    assert len(asked) >= 2
