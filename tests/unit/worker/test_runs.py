"""A run in a worker ends as one in a pod does: exit codes, result, hooks, output."""

from collections.abc import Callable

from support.worker import PoolWorker, Session, result_of

Start = Callable[..., tuple[PoolWorker, Session]]

TASKS = """
import sys
from tidegate import AbortRun, RetryAfter, current_run, task

@task
def double(n: int): return {"doubled": 2 * n}
"""


def test_a_run_gives_its_result(start: Start) -> None:
    worker, session = start(tasks=TASKS)
    session.start("tasks:double", {"n": 4})
    started = session.receive_only("started")
    ended = session.receive_only("ended")
    assert result_of(ended) == {"doubled": 8}
