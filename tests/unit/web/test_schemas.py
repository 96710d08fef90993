"""Payloads against schemas: checked by a process of their own, within bounds."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tidegate_web.runs.schema_worker import SchemaWorker

NUMBER = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def worker() -> Iterator[SchemaWorker]:
    made = SchemaWorker(seconds=1)
    yield made
    made.close()


def test_what_is_wrong_is_reported_with_its_place(worker: SchemaWorker) -> None:
    assert worker.mismatch(NUMBER, {"n": 1}) is None
    assert "$.n" in str(worker.mismatch(NUMBER, {"n": "x"}))
    assert "payloadSchema is invalid" in str(worker.mismatch({"type": 7}, {}))


def test_all_that_is_wrong_is_reported(worker: SchemaWorker) -> None:
    both = NUMBER | {"required": ["n", "m"]}
    assert [each.at for each in worker.mistakes(both, {"n": "x"}) or []] in (["$.n", "$"], ["$", "$.n"])
    assert worker.mistakes(NUMBER, {"n": 1}) == []
    assert "payloadSchema is invalid" in (worker.mistakes({"type": 7}, {}) or [])[0].message


def test_a_worker_that_was_ended_is_replaced(worker: SchemaWorker) -> None:
    assert worker.mismatch(NUMBER, {}) is not None
    assert worker._process is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    assert worker.mismatch(NUMBER, {}) is not None
    assert worker.mismatch(NUMBER, {"n": 1}) is None


def test_a_schema_that_asks_for_too_much_is_refused(worker: SchemaWorker) -> None:
    defs: dict[str, Any] = {
        f"d{n}": {"not": {"allOf": [{"not": {"$ref": f"#/$defs/d{n + 1}"}}] * 2}} for n in range(40)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": defs | {"d40": {"type": "string"}}}
    assert "took longer" in str(worker.mismatch(schema, {}))
    assert worker.mismatch(NUMBER, {"n": 1}) is None


def test_many_threads_get_their_own_answers(worker: SchemaWorker) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda n: worker.mismatch(NUMBER, {"n": n if n % 2 else "x"}), range(100)))
    assert [answer is None for answer in answers] == [bool(n % 2) for n in range(100)]
