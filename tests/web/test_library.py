"""The library in pods of runs, with the real web app: what a task reports and stores is there, and the next attempt goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.containers import Container
from support.pods import Pod
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, until

TASKS = """
from tidegate import current_run, metadata, progress, task

@task
def large(n: int): return ["x" * n, "\\u00fc", "\\ud800"]

@task
def goes_on(pages: int):
    run = current_run()
    done = run.checkpoint or 0
    if run.attempt == 2: return [done, pages]
    for page in range(done, pages):
        run.checkpoint = page + 1
        if page == 2: raise ValueError("in the middle")

@task
def tells():
    progress(0.25, "first")
    metadata.set("shop", "main")
    metadata.append("files", "a")
    metadata.append("files", "b")
    for _ in range(5): metadata.increment("rows", 2)
    progress(1.0, "last")
"""


@pytest.fixture
def url(parts: Parts) -> Iterator[str]:
    with parts.served(parts.internal) as address:
        yield address


@pytest.fixture
def container(stack: Stack, parts: Parts, url: str, tmp_path: Path) -> Container:
    return Container(tmp_path, Pod(stack, parts), url, tasks=TASKS)


def test_a_larger_result_is_read_back_as_it_was_returned(
    stack: Stack, parts: Parts, mirror: MirrorThread, container: Container
) -> None:
    ended = container.run("tasks:large", {"n": 100_000})
    assert ended.code == 0, ended.err
    reference = ended.value["tidegate.dev/resultRef"]
    stack.runs.status("works", phase="Succeeded", finishedAt="2026-11-24T12:00:00Z", resultRef=reference)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    assert parts.sign_in().get("runs/works/result").json == ["x" * 100_000, "ü", "\ud800"]


def test_the_next_attempt_goes_on_from_the_checkpoint(
    stack: Stack, parts: Parts, url: str, container: Container, tmp_path: Path
) -> None:
    assert container.run("tasks:goes_on", {"pages": 9}).result == "ValueError: in the middle"
    second = Container(tmp_path, Pod(stack, parts, attempt=2, run=container.pod.run), url, attempt=2, tasks=TASKS)
    assert second.run("tasks:goes_on", {"pages": 9}).value == [3, 9]


def test_progress_and_metadata_are_there_when_the_task_has_ended(
    parts: Parts, mirror: MirrorThread, container: Container
) -> None:
    until(parts, "works", lambda row: True)
    ended = container.run("tasks:tells")
    assert (ended.code, ended.err) == (0, "")
    caller = parts.sign_in()
    run: Any = caller.get("runs/works").json
    assert run["metadata"] == {"shop": "main", "files": ["a", "b"], "rows": 10}

    def last() -> bool:  # the web app writes what comes soon after another in its turn
        run: Any = caller.get("runs/works").json
        return bool((run["progress"], run["progressMessage"]) == (1.0, "last"))

    wait_until(last, what="the last progress")


def test_a_token_that_opens_nothing_fails_the_attempt_at_once(
    parts: Parts, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = parts.internal.wsgi_app

    def counted(environ: dict[str, Any], start: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        return answer(environ, start)

    monkeypatch.setattr(parts.internal, "wsgi_app", counted)
    Path(container.env["TIDEGATE_TOKEN_FILE"]).write_text("nonsense", encoding="ascii")
    ended = container.run("tasks:large", {"n": 100_000})
    assert (ended.code, "This token doesn't open the run" in ended.result) == (1, True)
    assert len(asked) == 1  # it isn't tried again


def test_a_result_that_its_project_has_no_room_for_is_reported_as_too_large(stack: Stack, tmp_path: Path) -> None:
    parts = stack.parts("web", project_bytes=100)
    with parts.served(parts.internal) as url:
        ended = Container(tmp_path, Pod(stack, parts), url, tasks=TASKS).run("tasks:large", {"n": 100_000})
    assert ended.code == 64
    assert "the archive keeps at most 100 bytes for the project" in ended.value["tidegate.dev/resultTooLarge"]
    assert "the archive keeps at most 100 bytes for the project" in ended.err
