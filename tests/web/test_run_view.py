"""The view that a task puts on the page of its run: drawn, kept current, and harmless."""

import base64
import zlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import looks_right, signed_in
from support.pods import Pod
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_api.names import VIEW_KEY


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
        yield made


def put_view(pod: Pod, *blocks: object) -> None:
    assert pod.call("POST", "metadata", json={"set": {VIEW_KEY: list(blocks)}}).status_code == 200


def png(*, width: int, height: int) -> str:
    """A grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + b"\x08\0\0\0\0"
    rows = zlib.compress((b"\0" + b"\x90" * width) * height, 9)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


REPORT = """# Orders of the night

All **1,204** orders were copied, see the [ledger](https://ledger.example/7) and ![the chart](https://charts.example/7.png).

### What was odd
- `order 17` had no address <script>alert(1)</script>
- دفع متأخر

| shop | orders |
|---|---:|
| main | 1,100 |
| north | 104 |

> Nothing was lost.

```
SELECT count(*) FROM orders
```
"""


def test_a_task_shows_markdown_tables_links_and_images(stack: Stack, parts: Parts, page: Page) -> None:
    pod = Pod(stack, parts, "reports")
    put_view(
        pod,
        {"type": "markdown", "text": REPORT},
        {
            "type": "table",
            "caption": "By country",
            "columns": ["country", "rows"],
            "rows": [["Iceland", 248], ["<b>", 3]],
        },
        {"type": "link", "href": "https://ledger.example/7", "text": "The ledger"},
        {"type": "image", "src": png(width=640, height=120), "alt": "Rows a minute"},
        {"type": "image", "src": "https://charts.example/7.png", "alt": "The chart of the night"},
        {"type": "link", "href": "javascript:alert(1)", "text": "click"},
    )
    page.goto(f"/projects/{stack.project}/runs/reports")
    view = page.get_by_role("region", name="View")
    expect(view.get_by_role("heading", name="Orders of the night", level=3)).to_be_visible()
    expect(view.get_by_role("heading", name="What was odd", level=4)).to_be_visible()
    expect(view.get_by_text("had no address <script>alert(1)</script>")).to_be_visible()
    expect(view.get_by_role("table")).to_have_count(2)
    expect(view.get_by_role("cell", name="<b>")).to_be_visible()
    expect(view.get_by_role("link", name="The ledger")).to_have_attribute("rel", "noopener noreferrer nofollow")
    picture = view.get_by_role("img", name="Rows a minute")
    expect(picture).to_have_js_property("naturalWidth", 640)
    # An image of another host is a link: loading it would report the viewer to that host.
    expect(view.get_by_role("link", name="The chart of the night")).to_be_visible()
    expect(view.get_by_text("Block 6: href must be an address")).to_be_visible()
    expect(view.get_by_text('"javascript:alert(1)"')).to_be_visible()


def test_the_view_changes_while_one_looks(stack: Stack, parts: Parts, page: Page) -> None:
    pod = Pod(stack, parts, "grows")
    put_view(pod, {"type": "markdown", "text": "ten rows"})
    page.goto(f"/projects/{stack.project}/runs/grows")
    view = page.get_by_role("region", name="View")
    expect(view).to_contain_text("ten rows")
    page.evaluate("window.stayed = true")
    put_view(pod, {"type": "markdown", "text": "twenty rows"})
    expect(view).to_contain_text("twenty rows")
    # What one has closed stays closed.
    view.get_by_role("heading", name="View").click()
    expect(view.get_by_text("twenty rows")).to_be_hidden()
    assert (
        pod.call("POST", "metadata", json={"append": {VIEW_KEY: {"type": "markdown", "text": "done"}}}).status_code
        == 200
    )
    expect(view.get_by_text("done")).to_be_attached()
    expect(view.get_by_text("done")).to_be_hidden()
    assert page.evaluate("window.stayed") is True


def test_long_words_fit_narrow_screens_and_nothing_is_a_barrier(stack: Stack, parts: Parts, page: Page) -> None:
    long = "x" * 10_000
    put_view(
        Pod(stack, parts, "long-words"),
        {
            "type": "markdown",
            "text": f"# {long[:800]}\n- {long[:800]}\n\n`{long[:800]}`\n\n    {long[:800]}\n\n{REPORT}",
        },
        {"type": "table", "columns": [long, "b"], "rows": [[long, 1], ["c", None]]},
        {"type": "table", "columns": list("abcdefghijklmnopqrst"), "rows": [list(range(20))]},
        {"type": "link", "href": "https://e.com/" + long[:1900]},
        {"type": "image", "src": png(width=1500, height=60), "alt": "wide"},
        {"type": "markdown", "text": long},
    )
    page.goto(f"/projects/{stack.project}/runs/long-words")
    expect(page.get_by_role("region", name="View")).to_be_visible()
    looks_right(page)
