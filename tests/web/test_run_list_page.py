"""The filters of the list of runs: every link of its page keeps them, and each of them is shown and can be taken off."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from support.runs import Json
from support.web import Parts, Stack
from tidegate_web.api.parameters import RUN_FILTER
from tidegate_web.pages import run_list

SCHEDULE = "tidegate.dev/schedule"
FILTERS = {
    "phase": "Pending,Running",
    "reason": "ConcurrencyLimit",
    "task": "mail",
    "queue": "slow",
    "q": "nightly",
    "tag": "a&b=c",
    "batch": "May 1",
    "schedule": "nightly",
    "parent": "root",
    "key": "tenant/ä",
    "requestedBy": "anna@example.com",
    "from": "2024-01-01T00:00:00.000001Z",
    "to": "2100-01-01T00:00:00Z",
}
CHIPS = {
    "phase": "Phase Pending, Running",
    "reason": "Reason ConcurrencyLimit",
    "task": "Task mail",
    "queue": "Queue slow",
    "q": "Search nightly",
    "tag": "Tag a&b=c",
    "batch": "Batch May 1",
    "schedule": "Schedule nightly",
    "parent": "Started by root",
    "key": "Key tenant/ä",
    "requestedBy": "Requested by anna@example.com",
    "from": "From 2024-01-01 00:00:00.000001 UTC",
    "to": "Before 2100-01-01 00:00:00 UTC",
}


def fitting(stack: Stack, parts: Parts, count: int) -> None:
    """Runs that fit every filter."""
    spec: Json = {
        "taskRef": {"name": "mail"},
        "queue": "slow",
        "tags": ["a&b=c"],
        "batch": "May 1",
        "parentRun": "root",
        "concurrencyKey": "tenant/ä",
    }
    for number in range(count):
        stack.runs.create_for("anna@example.com", f"nightly-{number}", labels={SCHEDULE: "nightly"}, **spec)
        stack.runs.status(f"nightly-{number}", phase="Pending", reason="ConcurrencyLimit")
        assert parts.sign_in().get(f"runs/nightly-{number}").status_code == 200  # it is in the archive now


def shown(parts: Parts, filters: dict[str, str]) -> str:
    answer = parts.sign_in().client.get(f"/projects/{parts.project}/runs?{urlencode(filters)}")
    assert answer.status_code == 200, answer.text
    return answer.text


def filters_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(html.unescape(address)).query).items()}


def links(page: str, pattern: str) -> list[dict[str, str]]:
    """The filters in the addresses of links."""
    return [filters_of(address) for address in re.findall(pattern, page)]


def chips(page: str) -> dict[str, dict[str, str]]:
    """The text of each chip, and the filters that are left without it."""
    found: dict[str, dict[str, str]] = {}
    for item in re.findall(r'<li class="tg-chip">(.*?)</li>', page):
        text = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<svg.*?</svg>", "", item)))
        found[text.strip()] = links(item, r'href="([^"]*)"')[0]
    return found


def test_tabs_numbers_and_the_way_to_older_runs_keep_every_filter(
    stack: Stack, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "PAGE", 1)
    fitting(stack, parts, 2)
    page = shown(parts, FILTERS)
    others = {name: text for name, text in FILTERS.items() if name != "phase"}
    numbers = links(page, r'<a class="tg-stat [^>]*href="([^"]*)"')
    tabs = links(re.findall(r'<nav class="tg-tabs".*?</nav>', page, re.DOTALL)[0], r'href="([^"]*)"')
    assert (len(numbers), len(tabs)) == (4, 5)
    for found in (*numbers, *tabs):
        assert {name: text for name, text in found.items() if name != "phase"} == others
    (older,) = links(page, r'href="([^"]*)">Older')
    after = older.pop("after")
    assert older == FILTERS
    assert links(shown(parts, FILTERS | {"after": after}), r'href="([^"]*)"><svg[^>]*>[^\n]*</svg> Newest') == [FILTERS]


def test_the_form_sends_the_filters_that_it_has_no_field_for(parts: Parts) -> None:
    form = re.findall(r"<form class=\"tg-search\".*?</form>", shown(parts, FILTERS), re.DOTALL)[0]
    hidden = {
        html.unescape(n): html.unescape(v) for n, v in re.findall(r'type="hidden" name="(.*?)" value="(.*?)"', form)
    }
    assert hidden == {name: text for name, text in FILTERS.items() if name not in ("task", "queue", "q")}


def test_each_filter_is_shown_with_a_link_that_takes_it_off(parts: Parts) -> None:
    assert {parameter.name for parameter in RUN_FILTER} == set(FILTERS)
    found = chips(shown(parts, FILTERS))
    assert list(found) == list(CHIPS.values())
    for name, text in CHIPS.items():
        assert found[text] == {other: value for other, value in FILTERS.items() if other != name}
    assert chips(shown(parts, {})) == {}


@pytest.mark.parametrize("name", ["from", "to", "parent"])
def test_a_list_that_a_filter_leaves_empty_says_so(parts: Parts, name: str) -> None:
    values: dict[str, Any] = {"from": "2100-01-01T00:00:00Z", "to": "1999-01-01T00:00:00Z", "parent": "nobody"}
    page = shown(parts, {name: values[name]})
    assert "Nothing matches" in page
    assert "No runs yet" not in page
