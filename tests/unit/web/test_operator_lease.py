"""cluster/lease: for how long nothing was heard of the operator, by the apiserver's clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tidegate_web.cluster.lease import read_lease

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
DATE = {"Date": "Sun, 29 Nov 2026 12:00:00 GMT"}
SPEC = {"holderIdentity": "operator-0", "leaseDurationSeconds": 15, "renewTime": "2026-11-29T09:00:00.000000Z"}


def a_lease(*entries: object, spec: object = None, **metadata: object) -> Any:
    return {"metadata": {"managedFields": list(entries), **metadata}, "spec": SPEC if spec is None else spec}


def entry(time: str, *fields: str) -> dict[str, Any]:
    return {"time": time, "fieldsV1": {"f:spec": {f"f:{field}": {} for field in fields}}}


def test_silence_is_told_by_the_apiserver_and_not_by_the_holders_clock() -> None:
    lease = read_lease(a_lease(entry("2026-11-29T11:59:50Z", "renewTime", "holderIdentity")), DATE)
    assert (lease.holder, lease.seconds) == ("operator-0", 15)
    assert lease.silent(NOON + timedelta(hours=2)) == 10


def test_the_latest_change_of_the_renewal_alone_counts() -> None:
    renewals = (entry("2026-11-29T11:00:00Z", "renewTime"), entry("2026-11-29T11:59:58Z", "renewTime"))
    lease = read_lease(a_lease(*renewals, entry("2026-11-29T11:59:59Z", "leaseTransitions")), DATE)
    assert lease.silent(NOON) == 2


@pytest.mark.parametrize(
    "entries",
    [
        (),
        ({},),
        ({"time": "2026-11-29T11:00:00Z", "fieldsV1": None},),
        ({"fieldsV1": {"f:spec": {"f:renewTime": {}}}},),
    ],
)
def test_where_the_apiserver_noted_nothing_the_holders_own_time_counts(entries: tuple[object, ...]) -> None:
    assert read_lease(a_lease(*entries), DATE).silent(NOON) == timedelta(hours=3).total_seconds()


@pytest.mark.parametrize("headers", [{}, {"Date": ""}, {"Date": "soon"}, {"Date": "Sun, 29 Nov 2026 12:00:00 -0000"}])
def test_where_it_does_not_say_the_time_ones_own_clock_counts(headers: dict[str, str]) -> None:
    lease = read_lease(a_lease(entry("2026-11-29T11:59:50Z", "renewTime")), headers)
    assert lease.silent(NOON) == 10


def test_a_lease_that_nobody_holds_says_nothing() -> None:
    lease = read_lease({"metadata": {}, "spec": {}}, DATE)  # type: ignore[typeddict-item]
    assert (lease.holder, lease.silent(NOON), lease.set_aside) == ("", None, 0)


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("", 0), ("x", 0), ("9" * 99, 0), (None, 0)])
def test_how_many_objects_are_set_aside(text: object, number: int) -> None:
    assert read_lease(a_lease(annotations={"tidegate.dev/set-aside-objects": text}), DATE).set_aside == number
