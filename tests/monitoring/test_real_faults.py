"""Each alert fires on a real Prometheus that scrapes real parts with a real fault.

The alerts don't wait here (`for: 0s`), and where a limit of theirs is in minutes it is in seconds (`conftest.AT_ONCE`). Two faults are
not quite real: a Schedule with which the operator breaks by a line that is put into its code, and the bytes of a full project, which are
written into its counter. That the limits are what they are is for `rules_test.yaml`.
"""

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from support.builders import a_queue, a_run, a_schedule
from support.monitoring import alerts
from support.receiver import Receiver
from support.servers import Server, wait_until
from support.web import finish
from tidegate_web.store.queries import project_bytes

from .conftest import Installation


@contextmanager
def locked(installation: Installation, table: str, mode: str) -> Iterator[None]:
    """Another session holds a lock of a table."""
    with installation.parts.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN {mode} MODE"))
        yield


@contextmanager
def without(server: Server) -> Iterator[None]:
    """A store is away."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def ask_with_key(installation: Installation, key: str, path: str) -> int:
    """A call of the API; its status."""
    connection = http.client.HTTPConnection("127.0.0.1", installation.web.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_no_operator_leads(installation: Installation) -> None:
    installation.operator.stop()
    assert installation.fires("TidegateOperatorHasNoLeader")["severity"] == "critical"
    installation.operator.start().wait_leading()
    installation.ports["operator"] = installation.operator.health_port
    installation.prometheus.scrape(installation.ports)
    installation.is_quiet("TidegateOperatorHasNoLeader")


def test_a_run_waits_too_long_in_a_queue_that_is_open(installation: Installation) -> None:
    runs = installation.runs
    runs.create(a_queue("full", concurrencyLimit=0))
    runs.create(a_queue("paused", paused=True))
    runs.create(a_run("paused").spec(queue="paused").built)
    runs.create(a_run("waits").spec(queue="full").built)
    labels = installation.fires("TidegateRunsWaitTooLong")
    assert (labels["namespace"], labels["queue"]) == ("team", "full")
    assert installation.prometheus.value('tidegate_queue_oldest_waiting_seconds{queue="paused"}')
    runs.kube.delete("queues.tidegate.dev", "full")
    runs.patch_spec("waits", cancel=True)
    installation.is_quiet("TidegateRunsWaitTooLong")


def test_a_pool_has_no_workers(installation: Installation) -> None:
    installation.runs.create(a_run("pooled").warm("tasks:double", pool="idle").built)
    labels = installation.fires("TidegatePoolHasNoWorkers")
    assert (labels["namespace"], labels["pool"]) == ("team", "idle")
    installation.runs.patch_spec("pooled", cancel=True)
    installation.is_quiet("TidegatePoolHasNoWorkers")


def test_an_object_is_set_aside(installation: Installation) -> None:
    installation.runs.create(a_schedule("odd"))
    assert installation.fires("TidegateObjectsAreSetAside")["kind"] == "schedules"
    installation.runs.kube.delete("schedules.tidegate.dev", "odd")
    installation.is_quiet("TidegateObjectsAreSetAside")


def test_redis_is_away_and_the_outbox_grows(installation: Installation) -> None:
    with without(installation.stack.redis):
        installation.fires("TidegateRedisIsUnreachable")
        installation.stack.runs.create("unpublished")
        installation.fires("TidegateOutboxGrows")
        assert not installation.prometheus.firing("TidegatePostgresIsUnreachable")
    for alert in ("TidegateRedisIsUnreachable", "TidegateOutboxGrows"):
        installation.is_quiet(alert)


def test_postgres_is_away(installation: Installation) -> None:
    key, path = installation.parts.key("admin").key, f"/api/v1/projects/{installation.stack.project}/stats"
    assert ask_with_key(installation, key, path) == 200
    with without(installation.stack.postgres):
        installation.fires("TidegatePostgresIsUnreachable")
        installation.fires("TidegateMirrorHasNoLeader")

        def asked() -> None:
            assert ask_with_key(installation, key, path) == 503

        # A series that is first seen with its first count adds nothing to a rate: people ask more than once.
        installation.fires("TidegateWebAnswersWithErrors", meanwhile=asked)
    for alert in ("TidegatePostgresIsUnreachable", "TidegateMirrorHasNoLeader"):
        installation.is_quiet(alert)


def test_all_connections_to_postgres_are_in_use(installation: Installation) -> None:
    key, path = installation.parts.key("admin").key, f"/api/v1/projects/{installation.stack.project}/stats"
    clients = [threading.Thread(target=ask_with_key, args=(installation, key, path)) for _ in range(8)]
    with locked(installation, "runs", "ACCESS EXCLUSIVE"):
        for client in clients:
            client.start()
        assert installation.fires("TidegateDatabasePoolIsExhausted", seconds=15)["pod"] == "web"
        assert not installation.prometheus.firing("TidegatePostgresIsUnreachable")
    for client in clients:
        client.join()
    installation.is_quiet("TidegateDatabasePoolIsExhausted")


def test_the_mirror_lags(installation: Installation) -> None:
    with locked(installation, "runs", "EXCLUSIVE"):
        installation.stack.runs.create("late")
        installation.fires("TidegateMirrorLags")
    installation.is_quiet("TidegateMirrorLags")


def test_a_log_is_lost(installation: Installation) -> None:
    stack = installation.stack
    stack.runs.create("gone")
    attempt = {"number": 1, "podName": "no-such-pod", "startedAt": "2026-01-01T00:00:00Z", "outcome": "Succeeded"}
    finish(stack, "gone", ttl=0, attempts=[attempt])
    installation.fires("TidegateLogsAreLost")


def test_webhooks_fail(installation: Installation) -> None:
    with Receiver() as receiver:
        receiver.status = 500
        answer = installation.parts.sign_in().post("webhooks", {"url": receiver.url})
        assert answer.status_code == 201, answer.text
        for name in ("one", "two"):
            installation.stack.runs.create(name)
            finish(installation.stack, name)
        wait_until(lambda: len(receiver.received) >= 2, what="the attempts")
        installation.fires("TidegateWebhooksFail")


def test_the_archive_of_a_project_is_full(installation: Installation) -> None:
    with installation.parts.engine.begin() as connection:
        project_bytes.add(connection, {"full": 999_000})
    installation.fires("TidegateArchiveOfProjectIsFull")


def test_a_watch_is_silent(installation: Installation) -> None:
    proxy = installation.proxy
    with proxy.on(watch=True, path="taskruns").hold():
        proxy.cut_watches("taskruns")
        assert installation.fires("TidegateOperatorWatchIsStale", seconds=150)["kind"] == "taskruns"
        installation.fires("TidegateMirrorWatchIsStale", seconds=30)
    # Released, they watch on, and hear of the next change.
    installation.runs.create(a_run("heard-by-the-operator").built)
    installation.is_quiet("TidegateOperatorWatchIsStale", seconds=100)
    installation.stack.runs.create("heard-by-the-mirror")
    installation.is_quiet("TidegateMirrorWatchIsStale", seconds=100)


def test_many_runs_fail(installation: Installation) -> None:
    for number in range(12):
        installation.runs.create(
            a_run(f"fails-{number}").task_ref("send").pod(exit_code="1").retry(maxAttempts=1).built
        )
    assert installation.fires("TidegateRunsFail")["namespace"] == "team"


def test_the_operator_falls_behind_as_the_apiserver_is_slow(installation: Installation) -> None:
    with installation.proxy.on(method="POST", path="jobs").delay(0.3):
        for number in range(150):
            installation.runs.create(a_run(f"slow-{number}").built)
        assert installation.fires("TidegateOperatorFallsBehind")["kind"] == "taskruns"


def test_each_alert_is_tried_here() -> None:
    tried = set(re.findall(r'fires\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8")))
    assert tried == alerts().keys()
