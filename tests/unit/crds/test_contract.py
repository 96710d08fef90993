"""Names, defaults and bounds that others rely on, to the letter: a change of one is a change of the contract."""

from typing import Any

import pytest
from tidegate import runs
from tidegate_api.crd import KINDS, structural_schema
from tidegate_api.names import TERMINAL_PHASES, Outcome, Phase, Reason
from tidegate_demo import watch

YEAR = 31_536_000
COUNT = 1_000_000
NONE = object()
TASK = {
    "queue": ("default", None, None),
    "retry.maxAttempts": (3, 1, 100),
    "retry.initialDelaySeconds": (1, 0, YEAR),
    "retry.maxDelaySeconds": (60, 0, YEAR),
    "retry.factor": (2, 1, 100),
    "retry.jitter": (True, None, None),
    "retry.nonRetryableExitCodes": ([64], None, None),
    "timeoutSeconds": (3600, 0, YEAR),
    "startTimeoutSeconds": (300, 1, YEAR),
    "deadlineSeconds": (NONE, 1, YEAR),
    "ttlSecondsAfterFinished": (NONE, 0, 100 * YEAR),
}
RUN = {
    "payload": ({}, None, None),
    "queue": (NONE, None, None),
    "timeoutSeconds": (NONE, 0, YEAR),
    "startTimeoutSeconds": (NONE, 1, YEAR),
    "deadlineSeconds": (NONE, 1, YEAR),
    "ttlSecondsAfterFinished": (NONE, 0, 100 * YEAR),
    "retry.maxAttempts": (NONE, 1, 100),
    "retry.initialDelaySeconds": (NONE, 0, YEAR),
    "priority": (0, -1000, 1000),
    "startDeadlineSeconds": (NONE, 1, YEAR),
    "dependsOn.when": ("Succeeded", None, None),
    "dependencyTimeoutSeconds": (3600, 0, YEAR),
    "suspend": (False, None, None),
    "cancel": (False, None, None),
}
QUEUE = {
    "concurrencyLimit": (NONE, 0, COUNT),
    "concurrencyLimitPerKey": (NONE, 1, COUNT),
    "rateLimit.runs": (NONE, 1, COUNT),
    "rateLimit.perSeconds": (NONE, 1, YEAR),
    "rateLimit.burst": (NONE, 1, COUNT),
    "paused": (False, None, None),
    "maxPending": (NONE, None, COUNT),
}
SCHEDULE = {
    "timeZone": ("UTC", None, None),
    "suspend": (False, None, None),
    "concurrencyPolicy": ("Allow", None, None),
    "startingDeadlineSeconds": (NONE, None, YEAR),
    "catchUp": ("Latest", None, None),
    "successfulRunsHistoryLimit": (NONE, 0, COUNT),
    "failedRunsHistoryLimit": (NONE, 0, COUNT),
}
POOL = {
    "replicas": (1, 0, 1000),
    "slots": (4, 1, 256),
    "drainSeconds": (600, 0, 86_400),
    "memoryPerRun": (NONE, None, None),
    "preload": (NONE, None, None),
}
FIELDS = {"Task": TASK, "TaskRun": RUN, "Queue": QUEUE, "Schedule": SCHEDULE, "WorkerPool": POOL}


def spec_of(kind: str) -> dict[str, Any]:
    (model,) = (k.model for k in KINDS if k.name == kind)
    found: dict[str, Any] = structural_schema(model)["properties"]["spec"]
    return found


def field(kind: str, path: str) -> dict[str, Any]:
    at = spec_of(kind)
    for name in path.split("."):
        at = at.get("items", at)["properties"][name]
    return at


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in FIELDS.items() for path in paths])
def test_a_field_has_the_default_and_the_bounds_of_the_contract(kind: str, path: str) -> None:
    found = field(kind, path)
    default, least, most = FIELDS[kind][path]
    assert found.get("default", NONE) == default
    if least is not None:
        assert found["minimum"] == least
    if most is not None:
        assert found["maximum"] == most


def integers(schema: dict[str, Any], path: str = "spec") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)] if schema.get("type") == "integer" else []
    for name, below in schema.get("properties", {}).items():
        found += integers(below, f"{path}.{name}")
    return found + integers(schema["items"], f"{path}[]") if isinstance(schema.get("items"), dict) else found


@pytest.mark.parametrize("kind", FIELDS)
def test_every_number_in_a_spec_has_an_upper_bound(kind: str) -> None:
    assert [path for path, schema in integers(spec_of(kind)) if "maximum" not in schema] == []


def test_phases_reasons_and_outcomes_are_those_that_others_know() -> None:
    ends = {"Succeeded", "Failed", "Cancelled", "Expired", "Skipped"}
    assert {str(phase) for phase in TERMINAL_PHASES} == ends
    assert {str(phase) for phase in Phase} == {"Pending", "Starting", "Running", "Retrying", *ends}
    assert {str(outcome) for outcome in Outcome} == {"Succeeded", "Failed", "Timeout", "Cancelled", "Disrupted"}
    held = (
        "Queued Delayed Suspended WaitingForDependencies QueuePaused ConcurrencyLimit RateLimit QueueNotFound "
        "TaskNotFound QuotaExceeded CreateRefused Scheduling PullingImage Cancelling NodeUnreachable BackOff "
        "PoolNotFound PoolNotReady PoolFull WorkerUnreachable"
    )
    failed = (
        "Error OOMKilled Timeout StartTimeout DeadlineExceeded Evicted InvalidImageName CreateContainerConfigError "
        "PodRejected PodDeleted InvalidPayload InvalidTask DependencyCycle ResultTooLarge InternalError"
    )
    others = "Cancelled StartDeadlineExceeded DependencyFailed NotStarted WorkerEnded"
    assert sorted(Reason) == sorted(f"{held} {failed} {others}".split())


def test_those_that_cannot_import_the_contract_have_its_terminal_phases() -> None:
    terminal = {str(phase) for phase in TERMINAL_PHASES}
    assert terminal == runs.TERMINAL
    assert terminal == watch.TERMINAL
