"""What a page says of the usage of attempts, and how their bounds of memory are put together."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.attempt_usage import (
    NOT_REPORTED,
    OUT_OF_MEMORY,
    STOPPED,
    AttemptUsage,
    MemoryBounds,
    memory_bounds,
    usages,
)

MIB = 2**20


def an_attempt(**fields: object) -> dict[str, object]:
    return {"number": 1, "outcome": "Succeeded", "exitCode": 0, "startedAt": "2026-11-28T00:00:00Z", **fields}


def shown(task: object = None, **fields: object) -> AttemptUsage:
    return usages([an_attempt(**fields)], task=task, run={})[1]


def memory(request: object = None, limit: object = None) -> dict[str, Any]:
    resources = {"requests": {"memory": request}, "limits": {"memory": limit}}
    return {"resources": {part: given for part, given in resources.items() if given["memory"] is not None}}


USED = {"cpuMilliseconds": 1234, "memoryPeakBytes": 210 * MIB}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (memory("256Mi", "512Mi"), "CPU 1.2 s · memory peak 210 MiB of 512 MiB limit (request 256 MiB)"),
        (memory(limit="512Mi"), "CPU 1.2 s · memory peak 210 MiB of 512 MiB limit (request 512 MiB)"),
        (memory("256Mi"), "CPU 1.2 s · memory peak 210 MiB (request 256 MiB, no limit)"),
        (None, "CPU 1.2 s · memory peak 210 MiB"),
        (memory("much", "more"), "CPU 1.2 s · memory peak 210 MiB"),
    ],
)
def test_usage_stands_beside_request_and_limit(task: object, words: str) -> None:
    assert shown(task, usage=USED).words == words


def test_the_peak_is_compared_with_a_limit_alone() -> None:
    assert (shown(memory(limit="512Mi"), usage=USED).peak, shown(memory("1Mi"), usage=USED).peak) == (210 * MIB, None)


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "CPU 0 s"), (41, "CPU 0.041 s"), (9_940, "CPU 9.9 s"), (12_000, "CPU 12 s"), (90_000, "CPU 1 m 30 s")],
)
def test_processor_time_is_written_as_short_as_it_may_be(milliseconds: int, words: str) -> None:
    assert shown(usage={"cpuMilliseconds": milliseconds}).words == words


def test_in_a_pool_there_is_no_limit_of_a_run() -> None:
    assert shown(memory("1Mi", "2Mi"), pool="warm", usage=USED).words == "CPU 1.2 s · memory peak 210 MiB"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, NOT_REPORTED),
        ({"usage": {}}, NOT_REPORTED),
        ({"usage": {"cpuMilliseconds": -1, "memoryPeakBytes": "5"}}, NOT_REPORTED),
        ({"outcome": "Failed", "exitCode": 3}, NOT_REPORTED),
        ({"outcome": "Failed", "exitCode": 137, "reason": "OOMKilled"}, OUT_OF_MEMORY),
        ({"outcome": "Failed", "exitCode": None, "reason": "PodDeleted"}, STOPPED),
        ({"outcome": "Timeout", "exitCode": 137}, STOPPED),
        ({"outcome": "Disrupted"}, STOPPED),
    ],
)
def test_an_attempt_without_usage_says_why(fields: dict[str, object], words: str) -> None:
    assert shown(**fields).words == words


@pytest.mark.parametrize("fields", [{"outcome": None}, {"startedAt": None}])
def test_what_goes_on_or_never_ran_says_nothing(fields: dict[str, object]) -> None:
    assert usages([an_attempt(**fields)], task=None, run={}) == {}


def test_a_later_layer_of_resources_wins() -> None:
    container = {"name": "task", **memory(limit="30Mi")}
    template = {"spec": {"containers": [{"name": "other", **memory("1Mi", "1Mi")}, container]}}
    task = memory("10Mi", "20Mi") | {"podTemplate": template, "retry": {"outOfMemory": memory("40Mi")}}
    run = memory("15Mi", "25Mi")
    assert memory_bounds(task, run, out_of_memory=False) == MemoryBounds(request=15 * MIB, limit=30 * MIB)
    assert memory_bounds(task, run, out_of_memory=True) == MemoryBounds(request=40 * MIB, limit=30 * MIB)


def test_attempts_after_one_that_ran_out_of_memory_have_other_bounds() -> None:
    task = memory(limit="1Mi") | {"retry": {"outOfMemory": memory(limit="2Mi")}}
    killed = an_attempt(reason="OOMKilled", outcome="Failed")
    found = usages([killed, an_attempt(number=2, usage=USED)], task=task, run={})
    assert (found[1].words, found[2].limit) == (OUT_OF_MEMORY, 2 * MIB)


KEYS = st.sampled_from(["resources", "limits", "memory", "retry", "usage", "cpuMilliseconds", "podTemplate", "spec"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["1Mi", "Failed", "OOMKilled"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.dictionaries(st.sampled_from(["outcome", "usage", "pool", "reason", "number"]), JSON)


@given(JSON, st.dictionaries(KEYS, JSON), FIELDS)
def test_nothing_in_a_status_or_a_spec_raises(task: object, run: dict[str, object], fields: dict[str, object]) -> None:
    usages([an_attempt(**fields)], task=task, run=run)
