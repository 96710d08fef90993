"""What a reader does with a log on a run's page, in a browser: search, levels, times, colours, lines with addresses, long logs."""

import itertools
import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import text
from support.browser import signed_in, violations
from support.runs import now
from support.servers import wait_until
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.store.queries import logs, runs
from tidegate_web.store.run_rows import RunRow

LINES = "[data-log] .tg-line"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has a run of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site_of(stack, tmp_path_factory.mktemp("logs")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        made.set_viewport_size({"width": 1440, "height": 900})
        yield made


def ended_run(stack: Stack, parts: Parts, name: str) -> RunRow:
    """A run that has ended, in the archive."""
    run = stack.runs.create(name, taskRef={"name": "etl"})
    stack.runs.status(name, phase="Succeeded", startedAt=now(), finishedAt=now(), attempts=[{"number": 1}])

    def stored() -> RunRow | None:
        with parts.engine.connect() as connection:
            row = runs.find(connection, project=stack.project, reference=run["metadata"]["uid"])
        return row if row and row.phase == "Succeeded" else None

    wait_until(lambda: stored() is not None, what="the run in the archive")
    row = stored()
    assert row is not None
    return row


def written(parts: Parts, row: RunRow, *texts: bytes, attempt: int = 1) -> None:
    """A log, as the mirror stores it: piece by piece, with its end."""
    pod = f"{row.name}-{attempt}"
    where = {"run_uid": row.uid, "project": row.project, "attempt": attempt, "pod_uid": pod, "pod_name": pod}
    position = 0
    with parts.engine.begin() as connection:
        for text in texts:
            for at in range(0, len(text), 65_536):
                data = text[at : at + 65_536]
                position += len(data)
                place = logs.Place(position=position)
                logs.add_chunk(connection, logs.Chunk(**where, run_created=row.created, place=place, data=data))  # type: ignore[arg-type]
        logs.add_end(connection, logs.End(**where, mark="complete"))  # type: ignore[arg-type]


def look(page: Page, row: RunRow, place: str = "") -> Locator:
    page.goto(f"/projects/{row.project}/runs/{row.uid}{place}")
    return page.get_by_role("log")


def shown(page: Page) -> list[str]:
    return page.locator(LINES).all_inner_texts()


def in_view(page: Page, line: int) -> None:
    """A line is where one sees it, within the log and within the window."""
    expect(page.get_by_role("link", name=f"Line {line}", exact=True)).to_be_in_viewport()


@pytest.mark.quick
def test_a_log_is_searched_by_keyboard_alone(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "searched")
    written(parts, row, "".join(f"line {number} of it\n" for number in range(1, 3001)).encode())
    look(page, row)
    expect(page.locator("[data-log-state]")).to_have_text("3,000 lines")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search the log")
    expect(search).to_be_focused()
    matches = page.get_by_role("status", name="Matches")
    page.keyboard.type("LINE 15")
    expect(matches).to_have_text("111 matches")  # 15, 150 to 159, 1500 to 1599
    page.keyboard.press("Enter")
    expect(matches).to_have_text("1 of 111")
    in_view(page, 15)
    page.keyboard.press("Shift+Enter")
    expect(matches).to_have_text("111 of 111")
    in_view(page, 1599)
    assert page.evaluate("[...CSS.highlights.get('tg-current')].map(String)") == ["line 15"]
    page.keyboard.press("Enter")
    expect(matches).to_have_text("1 of 111")
    in_view(page, 15)
    search.fill("of it (")  # no expression
    expect(matches).to_have_text("No matches")
    search.fill("")
    expect(matches).to_have_text("")


def test_levels_filter_lines(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "levels")
    lines = [
        '{"level": "info", "msg": "begun", "n": 1}',
        '{"severity": "WARNING", "message": "slow", "ts": 1767225600}',
        '{"level": 50, "msg": "pino says so", "time": 1767225600123}',
        "2026-01-01 00:00:00,000 ERROR root: broken",
        "    at somewhere in the trace",
        "[debug] detail",
        'level=warn msg="from logfmt"',
        "E1127 10:00:00.000000 1 klog.go:1] gone",
        "\x1b[31mERROR\x1b[0m in colour",
        "plain words",
    ]
    written(parts, row, "\n".join(lines).encode() + b"\n")
    look(page, row)
    expect(page.locator(LINES)).to_have_count(10)
    expect(page.locator(LINES).nth(0)).to_have_text("info begun n=1")
    expect(page.locator(LINES).nth(2)).to_have_text("00:00:00.123 50 pino says so")
    level = page.get_by_role("combobox", name="Level")
    level.select_option("Errors")
    expect(page.locator(LINES)).to_have_text(
        [re.compile(text) for text in ("pino says so", "root: broken", "at somewhere", "klog.go", "in colour")]
    )
    page.get_by_role("searchbox", name="Search the log").fill("o")  # what is shown is searched
    expect(page.get_by_role("status", name="Matches")).to_have_text("13 matches")
    level.select_option("Warnings and errors")
    expect(page.locator(LINES)).to_have_count(7)
    level.select_option("All levels")
    expect(page.locator(LINES)).to_have_count(10)
    raw = page.get_by_role("button", name="Raw")
    raw.click()
    expect(raw).to_have_attribute("aria-pressed", "true")
    expect(page.locator(LINES).nth(0)).to_have_text(lines[0])


def test_times_are_in_the_viewers_zone(browser: Browser, stack: Stack, parts: Parts, site: str, page: Page) -> None:
    row = ended_run(stack, parts, "zoned")
    record = {"time": "2026-01-01T23:30:00.250Z", "level": "info", "message": "midnight"}
    written(parts, row, f"{json.dumps(record)}\n2026-01-01T23:30:00Z plain\n".encode())
    cookies = page.context.cookies()
    context = browser.new_context(base_url=site, timezone_id="Asia/Kolkata")
    context.add_cookies(cookies)  # type: ignore[arg-type]
    there = context.new_page()
    look(there, row)
    expect(there.locator(LINES)).to_have_text(["05:00:00.250 info midnight", "2026-01-02T05:00:00.000+05:30 plain"])
    zone = there.get_by_role("button", name="Local time")
    zone.focus()
    there.keyboard.press("Enter")
    utc = ["23:30:00.250 info midnight", "2026-01-01T23:30:00Z plain"]
    expect(there.locator(LINES)).to_have_text(utc)
    there.reload()  # the choice is kept
    expect(there.locator(LINES)).to_have_text(utc)
    there.get_by_role("button", name="Local time").click()
    with parts.engine.begin() as connection:
        connection.execute(text("UPDATE users SET time_zone = 'America/St_Johns'"))
    there.reload()  # the zone of the account comes before that of the browser
    expect(there.locator(LINES)).to_have_text(["20:00:00.250 info midnight", "2026-01-01T20:00:00.000-03:30 plain"])
    with parts.engine.begin() as connection:
        connection.execute(text("UPDATE users SET time_zone = NULL"))
    context.close()


def test_colours_are_classes_and_control_codes_do_nothing(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "colours")
    lines = [
        b"\x1b[1;31mred\x1b[0m \x1b[38;5;46mgreen\x1b[39m \x1b[48;2;0;0;250mon blue\x1b[m",
        b"\x1b[33mgoes on",
        b"here\x1b[0m ends",
        b"\x1b]8;;javascript:alert(1)\x07a link\x1b]8;;\x07 \x1b[2J\x1b[Hgone",
        b"nul \x00 bell \x07 del \x7f",
        b"\xff\xfe no utf-8 \xc3",
        b"<img src=x onerror=alert(1)><script>alert(2)</script>",
        '\u202eright to left {"level":"info"}'.encode(),
        b'{"level": "info", "msg": "<b>", "__proto__": "<i>", "constructor": 1}',
        b'{"level": "info", "msg": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"' + b'\\"' * 400_000 + b"}",
        b"\x1b" * 1000,
    ]
    written(parts, row, b"\n".join(lines) + b"\n")
    log = look(page, row)
    expect(page.locator("[data-log-state]")).to_have_text("12 lines")
    line = page.locator(LINES)
    expect(line.nth(0).locator(".tg-fg-1.tg-bold")).to_have_text("red")
    expect(line.nth(0).locator(".tg-fg-10")).to_have_text("green")
    expect(line.nth(0).locator(".tg-bg-4")).to_have_text("on blue")
    expect(line.nth(2).locator(".tg-fg-3")).to_have_text("here")
    expect(line.nth(3)).to_have_text("a link gone")
    expect(line.nth(4)).to_have_text("nul \u2400 bell \u2407 del \u2421")
    expect(line.nth(5)).to_have_text("\ufffd\ufffd no utf-8 \ufffd")
    expect(line.nth(6)).to_have_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    expect(line.nth(8)).to_have_text("info <b> __proto__=<i> constructor=1")
    expect(line.nth(9)).to_contain_text("[[[[[[")
    assert log.locator("img, script, b, i").count() == 0
    assert log.locator("[style]:not(.tg-block)").count() == 0


def test_the_address_of_a_line_leads_to_it(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "addressed")
    written(parts, row, "".join(f"INFO {number} {'long ' * (number % 90)}\n" for number in range(1, 5001)).encode())
    look(page, row, "#L2345")
    in_view(page, 2345)
    expect(page.locator(".tg-line-marked")).to_contain_text("INFO 2345")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    page.reload()
    in_view(page, 2345)
    field = page.get_by_role("spinbutton", name="Go to line")
    field.focus()
    page.keyboard.type("17")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#L17$"))
    in_view(page, 17)
    page.get_by_role("combobox", name="Level").select_option("Errors")
    expect(page.locator(LINES)).to_have_count(0)
    page.evaluate("location.hash = 'L4000'")  # a line that the filter hides: the filter goes
    in_view(page, 4000)
    expect(page.get_by_role("combobox", name="Level")).to_have_value("0")
    page.get_by_role("link", name="Line 4001", exact=True).click()
    expect(page).to_have_url(re.compile("#L4001$"))
    expect(page.locator(".tg-line-marked")).to_contain_text("INFO 4001")
    expect(page.locator(".tg-line-marked")).to_have_count(1)


def test_one_attempt_is_chosen_and_the_end_is_followed(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "attempts")
    written(parts, row, b"first\n" * 300, attempt=1)
    written(parts, row, b"second\n" * 300, attempt=2)
    look(page, row).evaluate("box => box.scrollIntoView({block: 'center'})")
    in_view(page, 600)
    page.get_by_role("combobox", name="Attempt").select_option("Attempt 1")
    in_view(page, 300)
    page.get_by_role("searchbox", name="Search the log").fill("second")
    expect(page.get_by_role("status", name="Matches")).to_have_text("No matches")
    follow = page.get_by_role("button", name="Follow")
    page.get_by_role("log").focus()
    page.keyboard.press("Home")
    expect(follow).to_have_attribute("aria-pressed", "false")
    in_view(page, 1)
    page.keyboard.press("End")  # back at the end
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Home")
    expect(follow).to_have_attribute("aria-pressed", "false")
    in_view(page, 1)
    follow.focus()
    page.keyboard.press("Enter")
    in_view(page, 300)


LONG_LINES = 100_000


def test_a_hundred_thousand_lines_do_not_stall_the_page(stack: Stack, parts: Parts, page: Page) -> None:
    row = ended_run(stack, parts, "huge")
    plain = [
        f"{number} {'INFO' if number % 3 else 'ERROR'} something happened to item {number}"
        for number in range(1, LONG_LINES - 1)
    ]
    records = [json.dumps({"level": "info", "msg": f"record {number}", "item": number}) for number in range(1000)]
    plain[50_000:51_000] = records
    text = "\n".join(plain).encode() + b"\n" + b"x" * 2**20 + b"needle\n" + b"\xff" * 2**20 + b"\n"
    written(parts, row, text)
    log = look(page, row)
    expect(page.locator("[data-log-state]")).to_have_text("100,000 lines")
    log.evaluate("box => box.scrollIntoView({block: 'center'})")
    # What is far isn't drawn, and a long line only in its beginning.
    assert page.locator(LINES).count() < 2000
    more = page.get_by_role("button", name=re.compile("^Show all 1,048,576 characters"))
    expect(more).to_be_in_viewport()  # the end is followed
    page.get_by_role("searchbox", name="Search the log").fill("needle")
    expect(page.get_by_role("status", name="Matches")).to_have_text("1 match")
    page.keyboard.press("Enter")  # beyond what is drawn of its line
    expect(page.get_by_role("status", name="Matches")).to_have_text("1 of 1")
    assert page.evaluate("[...CSS.highlights.get('tg-current')].map(String)") == ["needle"]
    page.get_by_role("combobox", name="Level").select_option("Errors")
    page.get_by_role("searchbox", name="Search the log").fill("item 60000")
    expect(page.get_by_role("status", name="Matches")).to_have_text("1 match")
    page.evaluate("location.hash = 'L50500'")
    in_view(page, 50_500)
    page.reload()  # most of the log comes after the line is there
    expect(page.locator("[data-log-state]")).to_have_text("100,000 lines")
    in_view(page, 50_500)
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    assert page.locator(LINES).count() < 2000


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(stack: Stack, parts: Parts, page: Page, width: int, scheme: str) -> None:
    row = ended_run(stack, parts, f"fits-{width}-{scheme}")
    written(
        parts,
        row,
        b"".join(
            b"\x1b[%dmcolour\x1b[0m ERROR \x1b[%dmground\x1b[0m\n" % (code, code + 10)
            for code in (*range(30, 38), *range(90, 98))
        ),
    )
    written(parts, row, b'{"level": "debug", "msg": "m", "field": 1}\nWARN odd\n' + b"w" * 5000 + b"\n", attempt=2)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    look(page, row, "#L17")
    expect(page.locator(LINES)).to_have_count(19)
    page.get_by_role("searchbox", name="Search the log").fill("colour")
    expect(page.get_by_role("status", name="Matches")).to_have_text("16 matches")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    found = violations(page)
    assert found == [], found


def test_without_javascript_the_log_is_plain_text(
    browser: Browser, stack: Stack, parts: Parts, site: str, page: Page
) -> None:
    row = ended_run(stack, parts, "plain")
    written(parts, row, b"<b>one</b>\n")
    context = browser.new_context(base_url=site, java_script_enabled=False)
    context.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    there = context.new_page()
    look(there, row)
    there.get_by_role("link", name="Read it as plain text").click()
    expect(there.locator("body")).to_have_text("<b>one</b>")
    context.close()
