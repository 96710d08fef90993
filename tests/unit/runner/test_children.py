"""Runs that are started from code: the same options for one and for many, and a warning before a wait that may never end."""

import datetime as dt
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from support.runner import RunnerPod
from support.scripted import Asked, Says, ScriptedWeb
from tidegate import task, testing
from tidegate.client import Client, Handle, RunOptions, run_body
from tidegate.errors import ApiError
from tidegate.runs import RunState

OPTIONS: dict[str, Any] = {
    "priority": 5,
    "start_after": dt.datetime(2026, 12, 1, tzinfo=dt.UTC),
    "queue": "slow",
    "concurrency_key": "shop-1",
    "depends_on": ["first"],
    "tags": ["a", "b"],
    "batch": "night",
}
SPEC = {
    "taskRef": {"name": "resize"},
    "priority": 5,
    "startAfter": "2026-12-01T00:00:00Z",
    "queue": "slow",
    "concurrencyKey": "shop-1",
    "dependsOn": [{"name": "first"}],
    "tags": ["a", "b"],
    "batch": "night",
}


@task
def resize(n: int) -> Any: ...


def test_one_and_many_have_the_same_options() -> None:
    assert OPTIONS.keys() | {"delay"} == RunOptions.__annotations__.keys()
    with testing.fake_run() as run:
        resize.submit({"n": 1}, name="a", **OPTIONS)
        resize.submit_many([{"n": 2}, {"n": 3}], idempotency_keys=["k", "l"], **OPTIONS)
    assert run.started == [
        {**SPEC, "name": "a", "payload": {"n": 1}},
        {**SPEC, "idempotencyKey": "k", "payload": {"n": 2}},
        {**SPEC, "idempotencyKey": "l", "payload": {"n": 3}},
    ]


def test_options_that_can_be_read_once_serve_all_of_many() -> None:
    with testing.fake_run() as run:
        resize.submit_many([{"n": 2}, {"n": 3}], tags=iter(["a"]), depends_on=(name for name in ("x", "y")), delay=60)
    assert [(one["tags"], len(one["dependsOn"]), "startAfter" in one) for one in run.started] == [(["a"], 2, True)] * 2


@pytest.mark.parametrize("options", [{"tags": "abc"}, {"depends_on": "first"}, {"piority": 5}])
def test_an_option_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with testing.fake_run() as run:
        for call in (lambda: resize.submit({}, **options), lambda: resize.submit_many([{}], **options)):
            with pytest.raises(TypeError, match=r"are lists$|a run has no option 'piority': there are batch, "):
                call()
        with pytest.raises(TypeError):
            run_body("resize", **options)
    assert run.started == []


class Server(Client):
    """Answers the first looks, and no other."""

    def __init__(self, *answers: RunState) -> None:
        self._answers = list(answers)

    def look(self, run: RunState, *, seconds: float | None) -> RunState:
        if not self._answers:
            raise ApiError("no answer: timed out", lost=True)
        return self._answers.pop(0)

    create = create_many = result = cancel = None  # type: ignore[assignment]


def test_a_wait_whose_last_look_is_not_answered_has_timed_out() -> None:
    pending = RunState("a", "u-1", "Pending")
    with pytest.raises(TimeoutError, match=r"run a is Pending after 0\.2 s"):
        Handle(Server(pending), pending).wait(timeout=0.2)


def test_a_server_that_never_answers_is_told_from_a_run_that_goes_on() -> None:
    with pytest.raises(ApiError, match="no answer"):
        Handle(Server(), RunState("a", "u-1", "Pending")).wait(timeout=0.2)


TASKS = """
from tidegate import current_run, task

@task(queue="slow")
def child(n: int): ...

@task
def parent(queue: str = None):
    for handle in child.submit_many([{"n": 1}, {"n": 2}], queue=queue):
        handle.wait(timeout=20)
"""


@pytest.mark.parametrize(
    ("own", "childs", "warned"),
    [("slow", None, True), ("fast", "fast", True), ("slow", "fast", False), ("fast", None, False)],
)
def test_a_wait_for_a_child_of_the_same_queue_is_warned_of_once(
    tmp_path: Path, own: str, childs: str | None, warned: bool
) -> None:
    (tmp_path / "token").write_text("t", encoding="ascii")
    looked: list[str] = []

    def answer(asked: Asked) -> Says:
        if asked.method == "POST":
            name = asked.json["name"]
            return Says(201, {"name": name, "uid": name, "phase": "Pending"})
        looked.append(asked.path)
        made = [json.loads(each.body)["name"] for each in web.asked if each.method == "POST"]
        phase = "Pending" if len(looked) == 1 else "Succeeded"
        return Says(200, {"items": [{"name": name, "uid": name, "phase": phase} for name in made], "after": None})

    with ScriptedWeb(answer) as web:
        ended = RunnerPod(tmp_path, TASKS).run(
            "tasks:parent",
            {"queue": childs},
            TIDEGATE_API_URL=web.url,
            TIDEGATE_RUN="r",
            TIDEGATE_RUN_UID="u",
            TIDEGATE_QUEUE=own,
            TIDEGATE_TOKEN_FILE=str(tmp_path / "token"),
        )
    assert ended.code == 0, ended.err
    assert ended.err.count(f"this run keeps its place in queue {own} while it waits for child-") == warned


def test_a_handle_can_be_pickled_without_its_credential() -> None:
    with testing.fake_run(children={"resize": lambda payload: payload["n"] * 10}):
        handle = resize.submit({"n": 1})
        again = pickle.loads(pickle.dumps(handle))  # noqa: S301 - our own
        assert isinstance(again, Handle)
        assert (again.name, again.result()) == (handle.name, 10)
