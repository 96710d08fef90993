"""Payloads to start the next run from."""

import json
from datetime import UTC, datetime

from tidegate_web.runs.recent_payloads import SHOWN, distinct
from tidegate_web.store.queries.payloads import PayloadRow
from tidegate_web.store.records import NOT_STORED

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def row(name: str, payload: object) -> PayloadRow:
    return PayloadRow(uid=f"uid-{name}", name=name, created=NOON, text=json.dumps(payload))


def test_the_latest_run_of_each_payload_is_named() -> None:
    rows = [row("c", {"n": 1}), row("b", {"n": 2}), row("a", {"n": 1})]
    assert [(each.run_name, each.payload) for each in distinct(rows)] == [("c", {"n": 1}), ("b", {"n": 2})]


def test_what_is_nothing_to_start_from_is_left_out() -> None:
    assert (
        distinct([row("empty", {}), row("list", [1]), row("null", None), row("deep", {NOT_STORED: "too deep"})]) == []
    )


def test_they_are_few() -> None:
    assert len(distinct([row(str(n), {"n": n}) for n in range(20)])) == SHOWN
