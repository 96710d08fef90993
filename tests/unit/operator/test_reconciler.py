"""reconciler: it sleeps while there is nothing to do."""

import asyncio
from typing import Any, cast

from support.builders import a_run
from tidegate_operator.actions import Actor
from tidegate_operator.cache import KINDS, Cache
from tidegate_operator.metrics import Metrics
from tidegate_operator.policies.decision import Action
from tidegate_operator.reconciler import Reconciler
from tidegate_operator.records import RunRecord
from tidegate_operator.settings import OperatorSettings

NOW = 1_000_000.0


class Recorder:
    """Notes what would be done."""

    def __init__(self) -> None:
        self.asked: list[Action] = []

    async def perform(self, run: RunRecord | None, action: Action) -> None:
        self.asked.append(action)

    def take_touched(self) -> set[str]:
        return set()


class CountingCache(Cache):
    """Counts how often the reconciler's loop goes round."""

    turns = 0

    @property
    def complete(self) -> bool:
        self.turns += 1
        return super().complete


def a_waiting_cache() -> CountingCache:
    cache = CountingCache()
    manifest: dict[str, Any] = a_run("held").spec(suspend=True).built
    meta = {"uid": "run-1", "resourceVersion": "5", "creationTimestamp": "1970-01-12T13:46:40Z"}
    manifest["metadata"] |= meta
    cache.put_run({**manifest, "status": {"phase": "Pending", "reason": "Suspended"}}, now=NOW)
    cache.synced |= KINDS
    cache.all_listed()
    return cache


def test_what_waits_costs_no_turn_of_the_loop() -> None:
    cache, actor = a_waiting_cache(), Recorder()

    async def work() -> int:
        reconciler = Reconciler(
            cache, cast("Actor", actor), settings=OperatorSettings(), metrics=Metrics(), clock=lambda: NOW
        )
        running = asyncio.create_task(reconciler.run())
        reconciler.mark(cache.runs)
        for _ in range(1_000):  # turns of the event loop, not time
            await asyncio.sleep(0)
        settled = cache.turns
        reconciler.mark(())
        for _ in range(1_000):
            await asyncio.sleep(0)
        await reconciler.stop()
        await running
        return settled

    assert asyncio.run(work()) <= 3
    assert cache.turns <= 5
    assert actor.asked == []
