"""Each question that the operator's metrics answer has a series after one success, one failure and one retry."""

import pytest
from support.builders import a_pool, a_queue, a_run, a_task
from support.operator import OperatorProcess, OwnRuns
from support.pools import Node
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane


@pytest.fixture(scope="module")
def measured(node: Node, pooled: OwnRuns) -> OwnRuns:
    """After a success, a failure, a retry, a disruption, and a run in a pool; one more waits for a paused queue."""
    pooled.create(
        a_queue("mail", concurrencyLimit=3, concurrencyLimitPerKey=2, rateLimit={"runs": 60, "perSeconds": 1})
    )
    pooled.create(a_queue("closed", paused=True))
    pooled.create(a_task("send", queue="mail"))
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    pooled.create(a_run("good").task_ref("send").built)
    pooled.create(a_run("bad").task_ref("send").pod(exit_code="1").retry(maxAttempts=1).built)
    pooled.create(a_run("again").task_ref("send").pod(exit_code="1").retry(**retry).built)
    pooled.create(a_run("waits").spec(queue="closed").built)
    pooled.create(a_run("warm").warm("tasks:double").payload(number=1).built)
    pooled.wait("good", "Succeeded")
    pooled.wait("bad", "Failed")
    pooled.wait("again", "Failed")
    pooled.wait("warm", "Succeeded")
    return pooled


def test_each_question_has_its_series(leader: OperatorProcess, measured: OwnRuns) -> None:
    ns = f'namespace="{measured.namespace}"'
    mail, closed, pool = f'{ns},queue="mail"', f'{ns},queue="closed"', f'{ns},pool="warm"'

    def page() -> dict[str, float]:
        return leader.metrics()

    wait_until(lambda: page().get(f"tidegate_queue_pending{{{closed}}}") == 1, what="the run that waits")
    found = page()
    assert {
        "waiting": found[f"tidegate_run_wait_seconds_count{{{mail}}}"],
        "up to six hours": found[f'tidegate_run_wait_seconds_bucket{{le="21600.0",{mail}}}'],
        "running": found[f"tidegate_run_duration_seconds_count{{{mail}}}"],
        "attempts": found[f"tidegate_attempts_started_total{{{mail}}}"],
        "failed attempts": found[f'tidegate_attempts_finished_total{{{ns},outcome="Failed",queue="mail"}}'],
        "good attempts": found[f'tidegate_attempts_finished_total{{{ns},outcome="Succeeded",queue="mail"}}'],
        "retries": found[f"tidegate_run_retries_total{{{mail}}}"],
        "disruptions": found[f"tidegate_run_disruptions_total{{{mail}}}"],
        "succeeded": found[f'tidegate_runs_finished_total{{{ns},phase="Succeeded",reason="",task="send"}}'],
        "failed": found[f'tidegate_runs_finished_total{{{ns},phase="Failed",reason="Error",task="send"}}'],
        "limit": found[f"tidegate_queue_concurrency_limit{{{mail}}}"],
        "limit of a key": found[f"tidegate_queue_key_concurrency_limit{{{mail}}}"],
        "rate": found[f"tidegate_queue_rate_limit_runs_per_second{{{mail}}}"],
        "slots held": found[f"tidegate_queue_running{{{mail}}}"],
        "paused": found[f"tidegate_queue_paused{{{closed}}}"],
        "slots of the pool": found[f"tidegate_pool_slots{{{pool}}}"],
        "busy": found[f"tidegate_pool_busy{{{pool}}}"],
        "waits for the pool": found[f"tidegate_pool_waiting{{{pool}}}"],
        "workers": found[f"tidegate_pool_ready_workers{{{pool}}}"],
        "set aside": found['tidegate_set_aside_objects{kind="taskruns"}'],
    } == {
        "waiting": 3,
        "up to six hours": 3,
        "running": 3,
        "attempts": 4,
        "failed attempts": 3,
        "good attempts": 1,
        "retries": 1,
        "disruptions": 0,
        "succeeded": 1,
        "failed": 2,
        "limit": 3,
        "limit of a key": 2,
        "rate": 60,
        "slots held": 0,
        "paused": 1,
        "slots of the pool": 2,
        "busy": 0,
        "waits for the pool": 0,
        "workers": 1,
        "set aside": 0,
    }
    assert found[f"tidegate_queue_oldest_waiting_seconds{{{closed}}}"] > 0
    assert found["tidegate_pool_handover_seconds_count"] >= 1
    assert found['tidegate_reconcile_lag_seconds_count{kind="taskruns"}'] > 0
    assert found['tidegate_last_event_timestamp_seconds{kind="taskruns"}'] > 0
    assert found["process_cpu_seconds_total"] > 0
    assert found["process_resident_memory_bytes"] > 0
    assert not [name for name in found if "_created" in name]


def test_a_queue_and_a_pool_that_are_dropped_have_no_gauges(
    plane: ControlPlane, leader: OperatorProcess, measured: OwnRuns
) -> None:
    measured.create(a_queue("short", concurrencyLimit=1))
    measured.create(a_pool("brief", preload=["tasks"]))

    def named(name: str) -> set[str]:
        return {line for line in leader.metrics() if f'"{name}"' in line}

    wait_until(lambda: bool(named("short")) and bool(named("brief")), what="their series")
    measured.kube.delete("queues.tidegate.dev", "short")
    measured.kube.delete("workerpools.tidegate.dev", "brief")
    wait_until(lambda: not named("short") and not named("brief"), what="their series to go")
