"""Pages, styles and scripts are compressed for browsers, and nothing else is."""

import gzip
import re

import pytest
from support.callers import SignedIn
from support.web import Parts, Stack
from werkzeug.test import TestResponse

FIRST_PAGE_BYTES = 150_000
"""Of the list of runs with all that it loads."""


@pytest.fixture(scope="module")
def parts(shared_stack: Stack) -> Parts:
    return shared_stack.parts("web")


@pytest.fixture(scope="module")
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def ask(me: SignedIn, path: str, accepts: str = "gzip, deflate, br", **headers: str) -> TestResponse:
    answer = me.client.get(path, headers={"Accept-Encoding": accepts} | headers)
    answer.get_data()  # all of it, before its file is closed
    answer.close()
    return answer


@pytest.mark.parametrize("path", ["/static/vendor/tabler.min.css", "/static/tidegate.js", "/account"])
def test_what_a_browser_loads_is_compressed_and_the_same(me: SignedIn, path: str) -> None:
    small, plain = ask(me, path), ask(me, path, accepts="identity")
    assert (small.headers.get("Content-Encoding"), plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert int(small.headers["Content-Length"]) == len(small.data) < len(plain.data) / 2
    unpacked = gzip.decompress(small.data)
    if path.startswith("/static"):
        assert unpacked == plain.data
        assert ask(me, path).data == small.data, "it is kept"
    assert all("Accept-Encoding" in answer.headers["Vary"] for answer in (small, plain))
    assert small.headers["Content-Security-Policy"] == plain.headers["Content-Security-Policy"]


def test_a_file_that_has_not_changed_is_not_sent_again(me: SignedIn) -> None:
    etag = ask(me, "/static/tidegate.css").headers["ETag"]
    assert etag.startswith("W/")
    assert ask(me, "/static/tidegate.css", **{"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("accepts", ["", "identity", "gzip;q=0", "br", "x" * 5000])
def test_who_does_not_take_it_gets_plain_bytes(me: SignedIn, accepts: str) -> None:
    answer = ask(me, "/static/tidegate.css", accepts=accepts)
    assert "Content-Encoding" not in answer.headers
    assert answer.text.startswith(("/*", ":root", "@", "."))


@pytest.mark.parametrize("path", ["/api/v1/projects", "/static/favicon.svg"])
def test_json_and_small_answers_stay_as_they_are(me: SignedIn, path: str) -> None:
    assert "Content-Encoding" not in ask(me, path).headers


def test_a_part_of_a_file_stays_as_it_is(me: SignedIn) -> None:
    answer = ask(me, "/static/tidegate.css", Range="bytes=0-99")
    assert (answer.status_code, len(answer.data)) == (206, 100)
    assert "Content-Encoding" not in answer.headers


def test_the_answer_to_a_form_stays_as_it_is(me: SignedIn) -> None:
    """It may show a secret."""
    headers = {"Accept-Encoding": "gzip"}
    fields = {"csrf_token": me.csrf, "act": "zone", "zone": "Mars/Base"}
    answer = me.client.post("/account", data=fields, headers=headers)
    assert answer.status_code == 422
    assert "Content-Encoding" not in answer.headers


def test_the_first_page_is_small(me: SignedIn, parts: Parts) -> None:
    page = ask(me, f"/projects/{parts.project}/runs")
    text = gzip.decompress(page.data).decode()
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    assert len(loaded) >= 5
    sizes = {path: len(ask(me, path.replace("&amp;", "&")).data) for path in loaded}
    assert len(page.data) + sum(sizes.values()) <= FIRST_PAGE_BYTES, sizes
