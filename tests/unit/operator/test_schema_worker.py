"""schemas: payloads checked by a real worker process, which may be slow, greedy, broken or killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support.servers import wait_until
from tidegate_operator.control.schema_worker import SchemaWorker

Json = dict[str, Any]
STRINGS: Json = {"properties": {"a": {"type": "string"}}}


def branching(depth: int) -> Json:
    """A schema that takes 2^depth steps."""
    defs: Json = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(depth)}
    return {"$defs": {**defs, f"d{depth}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def counting(depth: int) -> Json:
    """The same without a trace in memory."""
    defs: Json = {f"d{i}": {"not": {"allOf": [{"not": {"$ref": f"#/$defs/d{i + 1}"}}] * 2}} for i in range(depth)}
    return {"$defs": {**defs, f"d{depth}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def run(work: Callable[[SchemaWorker], Awaitable[None]], **bounds: Any) -> None:
    """With a worker, on the operator's own kind of loop."""

    async def main() -> None:
        worker = SchemaWorker(**bounds)
        try:
            await work(worker)
        finally:
            await worker.close()
            assert worker.pid is None

    uvloop.run(main())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def busy(pid: int | None) -> int:
    """What the process has computed so far."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of a process, which no event reports
            await asyncio.sleep(0.01)


def test_a_worker_is_started_on_first_need_and_kept() -> None:
    async def work(worker: SchemaWorker) -> None:
        assert worker.pid is None
        assert await worker.check("ns", STRINGS, {"a": "b"}) is None
        pid = worker.pid
        refusal = await worker.check("ns", STRINGS, {"a": 1})
        assert refusal is not None
        assert refusal.reason == "InvalidPayload"
        refusal = await worker.check("ns", {"$ref": "https://example.com/x"}, {})
        assert refusal is not None
        assert refusal.reason == "InvalidTask"
        assert await worker.check("ns", STRINGS, {"a": "x\ny\u2028é" * 20_000}) is None, "128 KiB and more"
        deep = json.loads('{"a":' * 900 + "1" + "}" * 900)
        refusal = await worker.check("ns", STRINGS, deep)
        assert refusal is not None
        assert refusal.reason == "InvalidPayload"
        assert worker.pid == pid

    run(work)


def test_a_worker_that_was_killed_is_replaced() -> None:
    async def work(worker: SchemaWorker) -> None:
        assert await worker.check("ns", STRINGS, {}) is None
        first = worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)  # not seen yet
        assert await worker.check("ns", STRINGS, {}) is None
        second = worker.pid
        assert second is not None
        os.kill(second, signal.SIGKILL)
        await until(lambda: not alive(second))
        assert await worker.check("ns", STRINGS, {}) is None
        assert len({first, second, worker.pid}) == 3

    run(work)


def test_a_check_that_takes_too_long_is_ended_and_delays_no_other() -> None:
    async def work(worker: SchemaWorker) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert await worker.check("ns", STRINGS, {}) is None
        pid = worker.pid
        slow, quick = await asyncio.gather(worker.check("a", counting(64), {}), worker.check("b", STRINGS, {}))
        ticking.cancel()
        assert slow is not None
        assert (slow.reason, slow.message) == (
            "InvalidPayload",
            "the check of the payload against payloadSchema took longer than 0.5 s",
        )
        assert quick is None
        assert pid is not None
        assert not alive(pid)
        assert ticks > 10

    run(work, seconds=0.5)


@pytest.mark.parametrize(
    "schema",
    [branching(22), {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"allOf": [{"$ref": "#/$defs/a"}]}}}}],
    ids=["memory", "endless"],
)
def test_a_check_that_breaks_the_worker_fails_the_payload_and_nothing_else(schema: Json) -> None:
    async def work(worker: SchemaWorker) -> None:
        refusal = await worker.check("ns", schema, {"a": 1})
        if refusal is not None:  # the validator may find an end where there is none
            assert refusal.reason == "InvalidPayload"
            assert "payloadSchema" in refusal.message
        assert await worker.check("ns", STRINGS, {"a": "b"}) is None

    run(work, seconds=20.0, memory=128 << 20)


def test_a_check_that_is_given_up_leaves_no_answer_to_the_next() -> None:
    async def work(worker: SchemaWorker) -> None:
        assert await worker.check("ns", STRINGS, {}) is None
        given_up = asyncio.create_task(worker.check("ns", counting(64), {}))
        assert worker.pid is not None
        before = busy(worker.pid)
        await until(lambda: busy(worker.pid) > before)
        given_up.cancel()
        refusal = await worker.check("ns", STRINGS, {"a": 1})
        assert refusal is not None
        assert "$.a" in refusal.message

    run(work)


def test_no_namespace_can_take_all_places_nor_all_together_more_than_there_are() -> None:
    async def work(worker: SchemaWorker) -> None:
        checks = [asyncio.create_task(worker.check("a", STRINGS, {})) for _ in range(6)]
        await asyncio.sleep(0)
        assert worker.is_full("a")
        assert not worker.is_full("b")
        checks += [asyncio.create_task(worker.check("b", STRINGS, {})) for _ in range(2)]
        await asyncio.sleep(0)
        assert worker.is_full("c")
        assert await asyncio.gather(*checks) == [None] * 8
        assert not any(worker.is_full(namespace) for namespace in "abc")

    run(work, places=8)


def test_the_worker_ends_with_an_operator_that_is_killed(tmp_path: Path) -> None:
    program = """if True:
        import asyncio, sys
        sys.path[:0] = [%r]
        from unit_schemas import SchemaWorker, STRINGS, counting

        async def main():
            worker = SchemaWorker(seconds=1.0)
            await worker.check("ns", STRINGS, {})
            print(worker.pid, flush=True)
            await worker.check("ns", counting(64) if sys.argv[1] == "busy" else STRINGS, {})
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    (tmp_path / "unit_schemas.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    search = str(Path(__file__).parents[2])
    for what in ("idle", "busy"):
        with subprocess.Popen(
            [sys.executable, "-c", program % str(tmp_path), what],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        ) as operator:
            assert operator.stdout is not None
            pid = int(operator.stdout.readline())
            operator.kill()
        wait_until(lambda pid=pid: not alive(pid), what=f"the {what} worker to end")  # type: ignore[misc]
