"""Each question that the web app's and the mirror's metrics answer has a series; odd requests add none; what is away is seen."""

import http.client
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from support.servers import wait_until
from support.web import MirrorThread, Parts, Process, Stack, finish, until


def series(process: Process) -> dict[str, float]:
    """All of our own metrics of a process, named with their labels."""
    lines = process.probe("/metrics")[1].splitlines()
    pairs = (line.rpartition(" ") for line in lines if line.startswith(("tidegate_", "process_")))
    return {name: float(value) for name, _, value in pairs}


@contextmanager
def running(stack: Stack, command: str, folder: Path) -> Iterator[Process]:
    actor = "mirror" if command == "mirror" else "web"
    changes: dict[str, Any] = {"namespaces": [stack.project]} if command == "mirror" else {}
    with stack.process(command, actor=actor, log=folder / f"{command}.log", **changes) as process:
        wait_until(lambda: series(process).get("tidegate_redis_up") == 1, what="the first look at the stores")
        yield process


def ask(process: Process, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=120)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_requests_are_counted_by_route_method_and_status_and_odd_ones_add_no_series(
    stack: Stack, tmp_path: Path
) -> None:
    with running(stack, "serve", tmp_path) as process:
        assert ask(process, "GET", "/login") == 200
        assert ask(process, "GET", "/api/v1/health") == 401
        assert ask(process, "ODD", "/login") == 405
        assert ask(process, "GET", "/nothing") == 404
        counted = series(process)
        assert counted['tidegate_web_requests_total{method="GET",route="/login",status="200"}'] == 1
        assert counted['tidegate_web_requests_total{method="GET",route="/api/v1/health",status="401"}'] == 1
        assert counted['tidegate_web_requests_total{method="other",route="none",status="405"}'] == 1
        assert counted['tidegate_web_request_seconds_count{route="/login"}'] == 1
        for number in range(1000):
            assert ask(process, f"ODD-{number}", "/login") == 405
            if number % 10 == 0:
                assert ask(process, "GET", f"/nothing-{number}") == 404
        after = series(process)
        assert after.keys() == counted.keys()
        assert after['tidegate_web_requests_total{method="other",route="none",status="405"}'] == 1001
        assert {name for name in after if name.startswith("process_")} >= {
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
        }


def test_each_process_says_how_its_stores_are(stack: Stack, tmp_path: Path) -> None:
    with ExitStack() as started:
        processes = {
            command: started.enter_context(running(stack, command, tmp_path)) for command in ("serve", "live", "mirror")
        }

        def all_say(store: str, up: int) -> bool:
            return all(series(process).get(f"tidegate_{store}_up") == up for process in processes.values())

        for command, process in processes.items():
            found = series(process)
            assert found["tidegate_db_pool_size"] == 10
            assert sum(found[f'tidegate_db_pool_connections{{state="{each}"}}'] for each in ("in_use", "idle")) >= 1
            assert found["tidegate_db_query_seconds_count"] >= 1
            assert ("tidegate_live_streams" in found) == (command == "live")
        stack.redis.stop()
        stack.postgres.stop()
        wait_until(lambda: all_say("redis", 0) and all_say("postgres", 0), what="the stores to be missed")
        assert all(series(process)["tidegate_db_query_errors_total"] >= 1 for process in processes.values())
        stack.redis.start()
        stack.postgres.start()
        wait_until(lambda: all_say("redis", 1) and all_say("postgres", 1), what="the stores to be seen")


def test_the_mirrors_lag_grows_while_postgres_stores_nothing(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("before")
    until(parts, "before", lambda _: True)
    wait_until(lambda: mirror.metric("tidegate_mirror_lag_seconds") == 0, what="all to be stored")
    stored = mirror.metric("tidegate_mirror_store_seconds_count") or 0
    assert stored >= 1
    with parts.engine.begin() as connection:
        connection.execute(text("LOCK TABLE runs IN EXCLUSIVE MODE"))
        stack.runs.create("during")
        wait_until(lambda: (mirror.metric("tidegate_mirror_lag_seconds") or 0) > 1, what="the lag")
    until(parts, "during", lambda _: True)
    wait_until(lambda: mirror.metric("tidegate_mirror_lag_seconds") == 0, what="all to be stored")
    assert (mirror.metric("tidegate_mirror_store_seconds_sum") or 0) > 1


def test_the_outbox_grows_while_redis_is_away(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("before")
    until(parts, "before", lambda _: True)
    stack.redis.stop()
    stack.runs.create("during")
    wait_until(lambda: (mirror.metric("tidegate_outbox_events") or 0) >= 1, what="the outbox")
    wait_until(lambda: (mirror.metric("tidegate_outbox_oldest_seconds") or 0) > 1, what="its age")
    stack.redis.start()
    wait_until(lambda: mirror.metric("tidegate_outbox_events") == 0, what="the outbox to be empty")
    assert mirror.metric("tidegate_outbox_oldest_seconds") == 0


def test_a_log_that_is_lost_is_counted(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    assert [mirror.metric("tidegate_logs_ended_total", mark=mark) for mark in ("complete", "truncated", "lost")] == [
        0,
        0,
        0,
    ]
    stack.runs.create("gone")
    attempt = {"number": 1, "podName": "no-such-pod", "startedAt": "2026-01-01T00:00:00Z", "outcome": "Succeeded"}
    finish(stack, "gone", ttl=0, attempts=[attempt])
    wait_until(lambda: mirror.metric("tidegate_logs_ended_total", mark="lost") == 1, what="the end mark")


def test_a_mirror_that_does_not_lead_says_so(stack: Stack, tmp_path: Path, mirror: MirrorThread) -> None:
    wait_until(lambda: mirror.metric("tidegate_mirror_leader") == 1, what="the first to lead")
    with running(stack, "mirror", tmp_path) as second:
        found = series(second)
        assert found["tidegate_mirror_leader"] == 0
        assert found["tidegate_mirror_seconds_since_event"] == 0
        states = {x for name in found if (x := "".join(re.findall(r'webhook_attempts_total\{state="(\w+)"', name)))}
        assert states == {"delivered", "pending", "failed"}
