"""``tidegate.testing``: tasks in the tests of their authors, without a pod."""

import os
import subprocess
import sys
from typing import Any

import pytest
from support.runner import RUNNER
from tidegate import AbortRun, NeedsApi, NotInRun, RunFailed, current_run, metadata, progress, task, testing
from tidegate.errors import PayloadError


@task
def pages(last: int) -> dict[str, int]:
    run = current_run()
    first = run.checkpoint or 0
    for page in range(first, last):
        progress((page + 1) / last, f"page {page}")
        metadata.increment("pages")
        metadata.append("seen", page)
        run.checkpoint = page + 1
    return {"pages": last - first}


@task
def resize(n: int) -> Any: ...


@task
def starts_once() -> Any:
    made = [resize.submit({"n": 1}, idempotency_key=key) for key in ("a", "b", "a")]
    resize.submit({"n": 2}, depends_on=made[:2])
    return [handle.name for handle in made]


@task
def starts() -> Any:
    return [handle.result() for handle in resize.submit_many([{"n": 1}, {"n": 2}])]


def test_a_task_runs_in_this_process_and_all_it_reports_is_recorded() -> None:
    run = testing.run(pages, {"last": 2})
    assert run.result == {"pages": 2}
    assert run.progress == [(0.5, "page 0"), (1.0, "page 1")]
    assert run.metadata == {"pages": 2, "seen": [0, 1]}
    assert run.checkpoints == [1, 2]


def test_a_later_attempt_goes_on_from_a_checkpoint() -> None:
    assert testing.run(pages, {"last": 5}, attempt=2, checkpoint=3).result == {"pages": 2}


def test_the_payload_and_the_result_are_looked_at_as_in_a_pod() -> None:
    with pytest.raises(PayloadError, match="argument 'last' must be integer"):
        testing.run(pages, {"last": "2"})

    @task
    def no_json() -> Any:
        return b"1"

    with pytest.raises(TypeError, match="the result is not JSON"):
        testing.run(no_json)


def test_children_answer_as_the_test_says() -> None:
    run = testing.run(starts, children={"resize": lambda payload: payload["n"] * 10})
    assert run.result == [10, 20]
    assert [child["payload"] for child in run.started] == [{"n": 1}, {"n": 2}]

    def fails(_: Any) -> None:
        raise RunFailed("resize-1", "Failed", "Error", "no way")

    with pytest.raises(RunFailed, match="no way"):
        testing.run(starts, children={"resize": fails})


def test_a_task_of_a_pool_runs_as_any_other() -> None:
    @task(pool="warm")
    def double(n: int) -> int:
        return 2 * n

    @task
    def starts_warm() -> Any:
        return double.submit({"n": 2}).result()

    assert testing.run(double, {"n": 4}).result == 8
    assert testing.run(starts_warm, children={"double": lambda payload: payload["n"] + 1}).result == 3


def test_a_key_is_one_child_however_often_it_is_started() -> None:
    run = testing.run(starts_once)
    assert run.result == ["resize-1", "resize-2", "resize-1"]
    assert run.started[-1]["dependsOn"] == [{"name": "resize-1"}, {"name": "resize-2"}]


def test_children_that_were_cancelled_are_remembered() -> None:
    @task
    def gives_up() -> None:
        handles = resize.submit_many([{"n": 1}, {"n": 2}])
        handles[1].cancel()

    run = testing.run(gives_up)
    assert [child["payload"] for child in run.cancelled] == [{"n": 2}]


def test_without_the_web_part_it_is_as_there() -> None:
    with pytest.raises(NeedsApi):
        testing.run(pages, {"last": 1}, web=False)


def test_hooks_run_and_what_is_raised_comes_out() -> None:
    seen: list[str] = []

    @task
    async def aborts() -> None:
        raise AbortRun("hopeless")

    aborts.on_start(lambda: seen.append("start"))
    aborts.on_failure(lambda error: seen.append(type(error).__name__))
    aborts.on_success(lambda result: seen.append("success"))
    with testing.fake_run(timeout=60) as fake:
        left = current_run().seconds_left
        with pytest.raises(AbortRun, match="hopeless"):
            fake.call(aborts)
    assert seen == ["start", "AbortRun"]
    assert left is not None
    assert 50 < left <= 60


def test_after_it_there_is_no_run_again() -> None:
    testing.run(pages, {"last": 1})
    with pytest.raises(NotInRun):
        current_run()


def test_importing_the_library_leaves_out_what_most_tasks_do_not_need() -> None:
    heavy = ("urllib.request", "http.client", "ssl", "asyncio", "subprocess", "tempfile", "hashlib")
    code = f"import sys, tidegate.runner; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(RUNNER), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
