"""The examples as functions, run as their users would test them: `tidegate.testing` and the stand-ins in this process."""

import datetime as dt
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from PIL import Image
from support.outside import EXAMPLES, examples_importable, module, outside
from tidegate import AbortRun, RetryAfter, testing
from tidegate.manifests import export

IMAGE = "docker.io/tidegate/examples:0.1.0"


@pytest.fixture
def there() -> Iterator[Any]:
    with outside() as served:
        yield served


@pytest.mark.parametrize(
    ("folder", "name"), [("thumbnails", "thumbnails"), ("etl", "orders"), ("report", "report"), ("crawler", "crawler")]
)
def test_task_manifests_are_what_the_code_says(folder: str, name: str) -> None:
    written = list(yaml.safe_load_all((EXAMPLES / folder / "tasks.yaml").read_text()))
    for task in written:
        task["spec"].pop("env", None)  # which Secret is no matter of the code
    with examples_importable():
        assert written == export(name, image=IMAGE)


def test_an_album_starts_a_run_a_picture_and_one_that_waits_for_all(there: Any) -> None:
    run = testing.run(module("thumbnails").album, {"folder": "pictures"}, name="summer")
    *pictures, sheet = run.started
    assert [child["payload"]["picture"] for child in pictures] == sorted(there.files)
    assert {child["batch"] for child in pictures} == {"summer"}
    assert [run["name"] for run in sheet["dependsOn"]] == run.result["thumbnails"]


def test_thumbnails_are_small_and_become_a_sheet(there: Any) -> None:
    thumbnails = module("thumbnails")
    made = [testing.run(thumbnails.thumbnail, {"picture": name}).result for name in sorted(there.files)]
    with Image.open(io.BytesIO(there.files["thumbnails/1.jpg"])) as image:
        assert image.size == (160, 120)
    sheet = testing.run(thumbnails.contact_sheet, {"thumbnails": made})
    assert sheet.result == {"file": "thumbnails/sheet.jpg", "size": [480, 360]}


def test_a_page_is_kept_and_its_links_are_crawled_once_each(there: Any) -> None:
    run = testing.run(module("crawler").crawl, {"page": "home", "crawl_name": "monday"})
    assert json.loads(there.files["crawls/monday/home.json"])["links"] == ["shoes", "hats", "sale"]
    assert [child["idempotencyKey"] for child in run.started] == ["monday/shoes", "monday/hats", "monday/sale"]


def test_a_site_that_asks_for_patience_gets_it(there: Any) -> None:
    with pytest.raises(RetryAfter) as refused:
        testing.run(module("crawler").crawl, {"page": "sale", "crawl_name": "monday"})
    assert refused.value.seconds == 3
    assert testing.run(module("crawler").crawl, {"page": "sale", "crawl_name": "monday"}).result["links"] == 2


def test_a_page_that_is_not_there_is_not_tried_again(there: Any) -> None:
    with pytest.raises(AbortRun, match="no page nowhere"):
        testing.run(module("crawler").crawl, {"page": "nowhere", "crawl_name": "monday"})


@pytest.mark.parametrize(
    ("run", "day"),
    [
        ("nightly-report-29456730", dt.date(2026, 1, 2)),  # the tick of 2026-01-03, 02:30 in Berlin
        ("nightly-report-m4kq2x", dt.date(2026, 6, 30)),  # by hand
        ("again", dt.date(2026, 6, 30)),
    ],
)
def test_a_report_is_of_the_day_before_its_tick_however_late_it_runs(run: str, day: dt.date) -> None:
    now = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    assert module("report").day_before(run, now=now) == day


def test_a_report_refuses_what_is_no_day() -> None:
    with pytest.raises(AbortRun, match="2026-01-31"):
        testing.run(module("report").nightly_report, {"day": "yesterday"})
