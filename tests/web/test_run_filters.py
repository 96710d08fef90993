"""Lists of runs over HTTP: each filter finds what it names and nothing else, live and archived alike."""

from hashlib import sha256
from typing import Any

import pytest
from support.web import MirrorThread, Parts, Stack, until

LONG = "".join(sha256(str(number).encode()).hexdigest() for number in range(1500))
"""Who asks for a run is an annotation, which anybody may write: longer than an index takes."""


@pytest.fixture
def filled(stack: Stack, parts: Parts, mirror: MirrorThread) -> Parts:
    stack.runs.create("nightly-1", labels={"tidegate.dev/schedule": "nightly"})
    stack.runs.create("hourly-1", labels={"tidegate.dev/schedule": "hourly"})
    stack.runs.create_for("anna", "batched", task={"image": "busybox"}, batch="b1", concurrencyKey="tenant 1")
    stack.runs.create_for(LONG, "plain")
    stack.runs.status("plain", phase="Pending", reason="Suspended")
    until(parts, "plain", lambda row: row.reason == "Suspended")
    for name in ("nightly-1", "hourly-1", "batched", "plain"):
        until(parts, name, lambda row: True)
    return parts


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("schedule=nightly", {"nightly-1"}),
        ("schedule=hourly", {"hourly-1"}),
        ("schedule=none", set()),
        ("batch=b1", {"batched"}),
        ("batch=b2", set()),
        ("reason=Suspended", {"plain"}),
        ("reason=Suspended&phase=Pending,Running", {"plain"}),
        ("reason=Suspended&phase=Running", set()),
        ("reason=Error", set()),
        ("key=tenant%201", {"batched"}),
        ("key=tenant", set()),
        ("requestedBy=anna", {"batched"}),
        ("requestedBy=anna&phase=Running", set()),
        ("requestedBy=bert", set()),
        (f"requestedBy={LONG[:512]}", {"plain"}),
        ("", {"nightly-1", "hourly-1", "batched", "plain"}),
    ],
)
def test_a_filter_finds_what_it_names(filled: Parts, query: str, found: set[str]) -> None:
    answer: Any = filled.sign_in().get(f"runs?{query}").json
    assert {run["name"] for run in answer["items"]} == found
