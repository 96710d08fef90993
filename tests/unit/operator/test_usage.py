"""records/usage: what an attempt says that it has used, and what is left out of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import an_attempt
from tidegate_api.names import CPU_MILLISECONDS_MAX, MEMORY_BYTES_MAX, Outcome
from tidegate_api.taskrun import AttemptUsage
from tidegate_operator.policies.outcome import ABSENT, End, end_of
from tidegate_operator.policies.status import attempt_entry
from tidegate_operator.records.usage import Usage, parse_usage, split_usage

NOW = 1_000_000.0
LINE = '{"tidegate.dev/usage":{"cpuMilliseconds":1200,"memoryPeakBytes":4096}}\n'
USED = Usage(cpu_milliseconds=1200, memory_peak_bytes=4096)


def end(message: str, *, exit_code: int = 0, **fields: object) -> End:
    phase = "Failed" if exit_code else "Succeeded"
    attempt = an_attempt().pod(phase=phase, exit_code=exit_code, termination_message=message, **fields).built
    found = end_of(attempt, cancelled=False, now=NOW)
    assert found is not None
    return found


def test_usage_stands_before_the_result() -> None:
    found = end(LINE + '{"a": 1}')
    assert (found.outcome, found.result, found.usage) == (Outcome.SUCCEEDED, {"a": 1}, USED)
    assert end(LINE).result is ABSENT
    assert end(LINE).usage == USED


def test_usage_stands_before_the_message_of_a_failure() -> None:
    found = end(LINE + "ValueError: no", exit_code=1)
    assert (found.outcome, found.message, found.usage) == (Outcome.FAILED, "ValueError: no", USED)
    later = end(LINE + '{"retryAfterSeconds": 5, "message": "busy"}', exit_code=65)
    assert (later.retry_after, later.message, later.usage) == (5, "busy", USED)


def test_a_message_that_the_kubelet_has_cut_is_still_too_large() -> None:
    assert end(LINE + '"' + "x" * (4096 - len(LINE) - 1)).reason == "ResultTooLarge"


def test_what_is_killed_has_reported_nothing() -> None:
    assert end("", exit_code=137, termination_reason="OOMKilled").usage is None


def test_a_worker_says_it_itself_and_the_content_of_a_result_is_the_runs_own() -> None:
    found = end(LINE + "1", containers=0, usage=Usage(cpu_milliseconds=7))
    assert found.usage == Usage(cpu_milliseconds=7)
    assert found.message == "1"  # two lines, which are no JSON


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"a": 1}',
        LINE.strip(),  # an object in a result that is no line before it
        '{"tidegate.dev/usage":{"cpuMilliseconds":1}}x\n1',
        '{"tidegate.dev/usage":{"cpuMilliseconds":1},"a":2}\n1',
        '{"tidegate.dev/usage":' + " " * 300 + "{}}\n1",
        '{"tidegate.dev/usage":{"cpuMilliseconds":1}\n}',
        " " + LINE,
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert split_usage(text) == (None, text)


ODD: list[object] = [
    None,
    True,
    "1",
    -1,
    1.5,
    float("nan"),
    float("inf"),
    1e300,
    10**400,
    [],
    {},
    CPU_MILLISECONDS_MAX + MEMORY_BYTES_MAX,
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:12])
def test_what_is_no_such_number_is_left_out(odd: object) -> None:
    assert parse_usage({"cpuMilliseconds": odd, "memoryPeakBytes": 5}) == Usage(memory_peak_bytes=5)
    assert parse_usage({"cpuMilliseconds": 2, "memoryPeakBytes": odd}) == Usage(cpu_milliseconds=2)
    assert parse_usage({"cpuMilliseconds": odd, "memoryPeakBytes": odd}) is None


@pytest.mark.parametrize(
    "odd", ["{}", "[]", "null", '{"cpuMilliseconds":NaN}', '{"cpuMilliseconds":"1"}', '{"memoryPeakBytes":-1}']
)
def test_a_line_without_a_number_is_no_usage_and_no_result(odd: str) -> None:
    usage, rest = split_usage(f'{{"tidegate.dev/usage":{odd}}}\n7')
    assert usage is None
    assert rest in ("7", f'{{"tidegate.dev/usage":{odd}}}\n7')


@given(st.text(max_size=60))
def test_no_line_raises_and_what_is_taken_fits_into_the_crd(text: str) -> None:
    usage, _ = split_usage('{"tidegate.dev/usage":' + text + "}\nrest")
    if usage is not None:
        AttemptUsage.model_validate_json(json.dumps(usage.body))


def test_the_line_of_an_attempt_has_it_once_it_has_ended() -> None:
    attempt = an_attempt().pod(phase="Succeeded", exit_code=0, termination_message=LINE).built
    found = end_of(attempt, cancelled=False, now=NOW)
    assert "usage" not in attempt_entry(attempt, end=None, started=None)
    assert attempt_entry(attempt, end=found, started=None)["usage"] == {
        "cpuMilliseconds": 1200,
        "memoryPeakBytes": 4096,
    }
    assert Usage(memory_peak_bytes=3).body == {"memoryPeakBytes": 3}
