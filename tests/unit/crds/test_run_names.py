"""tidegate_api/run_names: what runs without a name of their own are called."""

import re

import pytest
from tidegate_api.names import DNS_LABEL
from tidegate_api.run_names import base36, name_of_key, new_name, triggered_name
from tidegate_api.ticks import tick_of

LONG = "a" * 39 + "-" + "b" * 23


@pytest.mark.parametrize(("task", "stem"), [("resize", "resize"), (LONG, "a" * 39), (None, "run"), ("No Name", "run")])
def test_a_new_run_is_called_after_its_task(task: object, stem: str) -> None:
    made = new_name(task)
    assert re.fullmatch(rf"{stem}-[a-z0-9]{{8}}", made)
    assert re.fullmatch(DNS_LABEL, made)


def test_a_key_always_names_the_same_run() -> None:
    assert name_of_key("work", "resize", "order-1") == "resize-6e508823d5261d45"
    assert name_of_key("work", "", "order-1").startswith("run-")
    assert name_of_key("play", "resize", "order-1") != name_of_key("work", "resize", "order-1")


def test_the_name_of_a_triggered_run_is_no_ticks() -> None:
    assert base36(0) == "0"
    assert base36(35 * 36 + 7) == "z7"
    assert triggered_name("nightly", 1_700_000_000_000) == "nightly-mloyw3v28"
    assert tick_of("nightly-mloyw3v28", schedule="nightly") is None
