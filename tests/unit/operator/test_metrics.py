"""What metrics count and name: by queue and task, a bounded number of series whatever is created, and none of what is gone."""

from typing import Any

import pytest
from prometheus_client import generate_latest
from support.builders import a_pool, a_queue, a_task
from support.caches import Json, listed_whole, lost, saw
from support.records import NOW, a_run_record
from tidegate_api.bodies import TaskRunStatusBody
from tidegate_api.names import Phase
from tidegate_operator.control.run_counts import RunCounts, newly_ended
from tidegate_operator.metrics import Metrics
from tidegate_operator.metrics.label_names import IDLE_SECONDS, MOST, MOST_OF_NAMESPACE, OTHER, LabelNames
from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.records.run import StatusRecord
from tidegate_operator.state.cache import Cache
from tidegate_operator.state_metrics import StateMetrics

CREATED = "2020-01-01T00:00:00Z"


class Stage:
    """A cache with its metrics, at a time that the test sets."""

    def __init__(self, *, by_namespace: bool = True) -> None:
        self.now, self._version = NOW, 0
        self.metrics = Metrics(by_namespace=by_namespace)
        self.cache = Cache(clock=lambda: self.now)
        listed_whole(self.cache)
        self.state = StateMetrics(
            self.cache, self.metrics, by_namespace=by_namespace, cluster_limit=9, clock=lambda: self.now
        )
        self.counts = RunCounts(self.cache, self.metrics, clock=lambda: self.now)

    def saw(self, kind: str, manifest: Json, *, namespace: str = "default") -> Json:
        """Hand an object in."""
        self._version += 1
        made = {"uid": f"{kind}-{self._version}", "resourceVersion": str(self._version), "creationTimestamp": CREATED}
        body = {**manifest, "metadata": {**manifest["metadata"], **made, "namespace": namespace}}
        saw(self.cache, kind, body)
        return body

    def lost(self, kind: str, body: Json) -> None:
        """It is gone."""
        lost(self.cache, kind, body)

    def waits(
        self, uid: str, *, queue: str = "mail", namespace: str = "default", since: float = NOW, pool: str = ""
    ) -> None:
        """A run waits in a queue's line."""
        entry = QueueEntry(
            uid=uid, name=uid, namespace=namespace, queue=queue, key="", priority=0, queued_at=since, number=1,
            first=True, pool=pool,
        )  # fmt: skip
        self.cache.admission.ask(entry)

    def ends(self, *, phase: str = "Succeeded", reason: str | None = None, queue: str = "default", **run: Any) -> None:
        """A run's end is written."""
        status: TaskRunStatusBody = {
            "phase": phase,
            "queue": queue,
            "startedAt": "2020-01-01T00:00:00Z",
            "finishedAt": "2020-01-01T00:01:40Z",
        }
        if reason:
            status["reason"] = reason
        record = a_run_record(**run)
        self.counts.wrote(record, record.status, status)

    def scraped(self) -> list[str]:
        """The lines of our own metrics that a scrape gets."""
        self.state.refresh()
        page = generate_latest(self.metrics.registry).decode()
        return [line for line in page.splitlines() if line.startswith("tidegate_")]

    def value(self, name: str, **labels: str) -> float | None:
        """A sample."""
        self.state.refresh()
        return self.metrics.registry.get_sample_value(name, labels)

    def later(self, seconds: float) -> None:
        """Time passes, with a scrape on either side."""
        self.scraped()
        self.now += seconds


@pytest.fixture
def stage() -> Stage:
    return Stage()


# The state


@pytest.mark.parametrize("by_namespace", [True, False])
def test_queues_pools_and_tasks_are_counted_by_name_or_in_sum(by_namespace: bool) -> None:
    stage = Stage(by_namespace=by_namespace)
    for namespace, queue in (("acme", "mail"), ("rival", "merger")):
        stage.saw("queues", a_queue(queue), namespace=namespace)
        stage.saw("tasks", a_task("secret-plan"), namespace=namespace)
        stage.saw("workerpools", a_pool("merger-pool"), namespace=namespace)
        stage.waits(f"{queue}-1", queue=queue, namespace=namespace)
        stage.waits(f"{queue}-2", queue=queue, namespace=namespace, pool="merger-pool")
        stage.ends(namespace=namespace, task_ref="secret-plan", queue=queue)
    named = {
        word for word in ("acme", "rival", "mail", "merger", "secret-plan") if any(word in x for x in stage.scraped())
    }
    assert named == ({"acme", "rival", "mail", "merger", "secret-plan"} if by_namespace else set())
    key = {"namespace": "acme", "queue": "mail"} if by_namespace else {"namespace": "", "queue": ""}
    assert stage.value("tidegate_queue_pending", **key) == (2 if by_namespace else 4)
    assert stage.value("tidegate_run_duration_seconds_sum", **key) == (100 if by_namespace else 200)
    pool = {"namespace": "acme", "pool": "merger-pool"} if by_namespace else {"namespace": "", "pool": ""}
    assert stage.value("tidegate_pool_waiting", **pool) == (1 if by_namespace else 2)
    ended = {"namespace": "acme", "task": "secret-plan"} if by_namespace else {"namespace": "", "task": ""}
    assert stage.value("tidegate_runs_finished_total", phase="Succeeded", reason="", **ended) == (
        1 if by_namespace else 2
    )


def test_without_any_queue_the_sum_is_zero() -> None:
    stage = Stage(by_namespace=False)
    assert stage.value("tidegate_queue_pending", namespace="", queue="") == 0
    assert stage.value("tidegate_pool_slots", namespace="", pool="") == 0


def test_a_queue_shows_its_limits_and_who_waits_longest(stage: Stage) -> None:
    rate = {"runs": 30, "perSeconds": 60}
    stage.saw("queues", a_queue("mail", concurrencyLimit=4, concurrencyLimitPerKey=2, rateLimit=rate, paused=True))
    stage.waits("new", since=NOW - 1)
    stage.waits("old", since=NOW - 7200)
    key = {"namespace": "default", "queue": "mail"}
    shown = {
        name: stage.value(f"tidegate_queue_{name}", **key)
        for name in (
            "pending", "running", "oldest_waiting_seconds", "paused", "concurrency_limit", "key_concurrency_limit",
            "rate_limit_runs_per_second",
        )
    }  # fmt: skip
    assert list(shown.values()) == [2, 0, 7200, 1, 4, 2, 0.5]
    assert stage.value("tidegate_cluster_concurrency_limit") == 9
    assert stage.value("tidegate_namespace_concurrency_limit") is None


@pytest.mark.parametrize(("by_namespace", "oldest"), [(True, 7200), (False, 60)])
def test_a_paused_queue_is_not_the_one_that_waits_in_a_sum(by_namespace: bool, oldest: float) -> None:
    stage = Stage(by_namespace=by_namespace)
    stage.saw("queues", a_queue("mail", paused=True))
    stage.saw("queues", a_queue("open"))
    stage.waits("old", since=NOW - 7200)
    stage.waits("young", queue="open", since=NOW - 60)
    key = {"namespace": "default", "queue": "mail"} if by_namespace else {"namespace": "", "queue": ""}
    assert stage.value("tidegate_queue_oldest_waiting_seconds", **key) == oldest
    assert stage.value("tidegate_queue_paused", **key) == (1 if by_namespace else None)


def test_gauges_of_what_is_gone_go_at_once_and_counters_after_an_hour(stage: Stage) -> None:
    queue, pool = stage.saw("queues", a_queue("mail")), stage.saw("workerpools", a_pool("warm"))
    task = stage.saw("tasks", a_task("send"))
    stage.ends(queue="mail", task_ref="send")

    def kinds(name: str) -> set[str]:
        return {line.partition("{")[0] for line in stage.scraped() if f'"{name}"' in line}

    assert kinds("warm") == {f"tidegate_pool_{x}" for x in ("waiting", "slots", "busy", "ready_workers")}
    assert "tidegate_queue_running" in kinds("mail")
    for kind, body in (("queues", queue), ("workerpools", pool), ("tasks", task)):
        stage.lost(kind, body)
    assert kinds("warm") == set()
    assert not [name for name in kinds("mail") if name.startswith("tidegate_queue_")]
    assert kinds("send") == {"tidegate_runs_finished_total"}
    stage.later(IDLE_SECONDS - 1)
    assert (kinds("mail") != set(), kinds("send") != set()) == (True, True)
    stage.later(IDLE_SECONDS)
    assert (kinds("mail"), kinds("send")) == (set(), set())
    stage.ends(queue="mail", task_ref="send")
    assert (kinds("mail"), kinds("send")) == (set(), set()), "no series of its own for what isn't there"


def test_counters_stay_while_something_is_counted(stage: Stage) -> None:
    for _ in range(4):
        stage.ends(namespace="busy")
        stage.later(IDLE_SECONDS * 0.7)
    assert stage.value("tidegate_run_duration_seconds_count", namespace="busy", queue="default") == 4


# Bounds


def test_a_thousand_queues_tasks_pools_and_reasons_add_a_bounded_number_of_series(stage: Stage) -> None:
    def fill(begin: int, end: int) -> int:
        for number in range(begin, end):
            namespace = f"team-{number % 7}"
            stage.saw("queues", a_queue(f"q-{number}", concurrencyLimit=1), namespace=namespace)
            stage.saw("tasks", a_task(f"t-{number}"), namespace=namespace)
            stage.saw("workerpools", a_pool(f"p-{number}"), namespace=namespace)
            stage.waits(f"w-{number}", queue=f"q-{number}", namespace=namespace)
            stage.ends(queue=f"q-{number}", task_ref=f"t-{number}", namespace=namespace)
            stage.ends(phase=f"Odd{number}", reason=f"Odd{number}", namespace=namespace)
        return len(stage.scraped())

    fill(0, 1000)
    assert fill(1000, 2000) == fill(2000, 3000)
    lines = stage.scraped()
    for metric, label in (
        ("tidegate_queue_pending", "queue"),
        ("tidegate_pool_slots", "pool"),
        ("tidegate_run_duration_seconds_count", "queue"),
        ("tidegate_runs_finished_total", "task"),
    ):
        named = {
            x for x in lines if x.startswith(metric + "{") and f'{label}="{OTHER}"' not in x and "_inline" not in x
        }
        assert len({x.rpartition(" ")[0] for x in named}) <= MOST + 7, metric
    pending = [float(x.rpartition(" ")[2]) for x in lines if x.startswith("tidegate_queue_pending{")]
    assert sum(pending) == 3000, "what has no series of its own is in the sum of the others"


def test_names_that_no_object_has_add_no_series(stage: Stage) -> None:
    stage.saw("queues", a_queue("mail"), namespace="default")
    stage.ends(queue="nowhere-0", task_ref="nothing-0")
    before = len(stage.scraped())
    for number in range(1000):
        stage.waits(f"w-{number}", queue=f"nowhere-{number}")
        stage.ends(queue=f"nowhere-{number}", task_ref=f"nothing-{number}")
    assert len(stage.scraped()) - before <= 3  # pending, running and oldest of the others
    assert stage.value("tidegate_queue_pending", namespace="default", queue=OTHER) == 1000


def test_one_namespace_leaves_room_for_others() -> None:
    names = LabelNames()
    greedy = {names.of(("greedy", str(number))) for number in range(1000)}
    assert len(greedy) == MOST_OF_NAMESPACE + 1
    assert names.of(("modest", "one")) == ("modest", "one")
    many = {names.of((f"team-{number}", "one")) for number in range(1000)}
    assert len(many & {(f"team-{number}", "one") for number in range(1000)}) == MOST - MOST_OF_NAMESPACE - 1
    assert len(many) <= 2 * MOST
    assert names.of(("late", "one")) == (OTHER, OTHER)


def test_a_name_that_is_gone_makes_room() -> None:
    names = LabelNames(most=1)
    assert names.of(("a", "old")) == ("a", "old")
    assert names.of(("a", "new")) == ("a", OTHER)
    assert list(names.tidy({("a", "new")}, 0.0)) == []
    assert set(names.tidy({("a", "new")}, IDLE_SECONDS)) == {("a", "old"), ("a", OTHER)}
    assert names.of(("a", "new")) == ("a", "new")


def test_a_queue_that_nothing_names_is_forgotten(stage: Stage) -> None:
    admission = stage.cache.admission
    for number in range(100):
        stage.waits(f"w-{number}", queue=f"nowhere-{number}")
        admission.withdraw(f"w-{number}")
    admission.take_changed()
    assert list(admission.queues) == []
    stage.waits("after", queue="nowhere-1")
    assert admission.admit(NOW) == []
    assert admission.why("after", NOW) is not None


# Runs


def entry(number: int, outcome: str | None = None) -> Any:
    return {"number": number, **({"outcome": outcome} if outcome else {})}


def test_an_attempt_is_counted_with_the_status_that_first_says_its_end() -> None:
    before = StatusRecord(phase=Phase.RETRYING, attempts=[entry(1, "Failed"), entry(2)])
    status: TaskRunStatusBody = {"phase": "Failed", "attempts": [entry(1, "Failed"), entry(2, "Timeout")]}
    assert [each["number"] for each in newly_ended(before, status)] == [2]
    assert list(newly_ended(StatusRecord(), {"phase": "Pending"})) == []


def test_retries_disruptions_and_outcomes_are_counted_once(stage: Stage) -> None:
    run = a_run_record(phase=Phase.RUNNING, attempts=[entry(1)])
    failed: TaskRunStatusBody = {
        "phase": "Retrying", "queue": "default", "attempts": [entry(1, "Failed")], "disruptions": 2,
    }  # fmt: skip
    before = run.status
    stage.counts.wrote(run, before, failed)
    stage.counts.wrote(run, StatusRecord.parse(failed), failed)  # the reason of its phase has changed
    key = {"namespace": "default", "queue": "default"}
    assert stage.value("tidegate_run_retries_total", **key) == 1
    assert stage.value("tidegate_run_disruptions_total", **key) == 2
    outcomes = {x: stage.value("tidegate_attempts_finished_total", outcome=x, **key) for x in ("Failed", "Succeeded")}
    assert outcomes == {"Failed": 1, "Succeeded": 0}
    assert stage.value("tidegate_run_duration_seconds_count", **key) == 0


def test_the_first_attempt_says_how_long_the_run_has_waited(stage: Stage) -> None:
    run = a_run_record(queued_at=NOW - 50)
    stage.counts.started(run, 1)
    stage.counts.started(run, 2)
    key = {"namespace": "default", "queue": "default"}
    assert stage.value("tidegate_attempts_started_total", **key) == 2
    assert stage.value("tidegate_run_wait_seconds_count", **key) == 1
    assert stage.value("tidegate_run_wait_seconds_sum", **key) == 50
    assert stage.value("tidegate_run_wait_seconds_bucket", le="60.0", **key) == 1
    assert stage.value("tidegate_run_wait_seconds_bucket", le="21600.0", **key) == 1


def test_an_inline_task_has_no_name(stage: Stage) -> None:
    stage.ends(phase="Failed", reason="Error")
    labels = {"namespace": "default", "task": "_inline", "phase": "Failed", "reason": "Error"}
    assert stage.value("tidegate_runs_finished_total", **labels) == 1
