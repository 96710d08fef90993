"""What a run reports and stores, when the web app answers late, wrongly or not at all."""

import hashlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.runner import RunnerPod, interpreter
from support.scripted import AWAY, Asked, Says, ScriptedWeb
from support.servers import wait_until

TASKS = """
import threading, time
from tidegate import AbortRun, current_run, log, metadata, progress, task

@task
def large(n: int): return "x" * n

@task
def saves(value: object):
    run = current_run()
    before = run.checkpoint
    run.checkpoint = value
    return [before, run.checkpoint]

@task
def counts(n: int):
    for _ in range(n):
        metadata.increment("n")
    return "ok"

@task
def tells_all():
    metadata.set("shop", "main")
    metadata.append("files", "a")
    metadata.append("files", "b")
    metadata.increment("rows", 2)
    metadata.increment("rows")
    metadata.set("rows", 0)
    return "ok"

@task
def bursts():
    for i in range(100_000):
        progress(i / 100_000, str(i))
    progress(1.0, "done")
    return "ended"

@task
def starts():
    from tidegate.client import connect
    handle = connect().submit({"name": "small", "taskRef": {"name": "resize"}})
    return [handle.uid, handle.result(timeout=20)]

@task
def waits_after_checkpoint():
    print("begins")
    current_run().checkpoint = 1
"""


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


@contextmanager
def web(pod: RunnerPod, answer: Callable[[Asked], Says]) -> Iterator[tuple[ScriptedWeb, dict[str, str]]]:
    token = pod.folder / "token"
    token.write_text("the-token\n", encoding="ascii")
    with ScriptedWeb(answer) as server:
        yield (
            server,
            {
                "TIDEGATE_API_URL": server.url,
                "TIDEGATE_RUN": "works",
                "TIDEGATE_RUN_UID": "u-1",
                "TIDEGATE_TOKEN_FILE": str(token),
                "TIDEGATE_TIMEOUT_SECONDS": "30",
                "TIDEGATE_RESULT_MAX_BYTES": "100",
            },
        )


def stored(asked: Asked) -> Says:
    if asked.path.endswith("/result"):
        return Says(200, {"bytes": len(asked.body), "sha256": hashlib.sha256(asked.body).hexdigest()})
    if asked.method == "GET":
        return Says(404, {"detail": "The run has no checkpoint."})
    return Says(204)


def first(times: int, says: Says) -> Callable[[Asked], Says]:
    """This answer at first, the right one from then on."""
    left = [says] * times
    return lambda asked: left.pop() if left else stored(asked)


def test_a_larger_result_is_stored_and_referred_to(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        ended = pod.run("tasks:large", {"n": 99}, **env)
    data = b'"' + b"x" * 99 + b'"'
    reference = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert (ended.code, ended.value, ended.err) == (0, {"tidegate.dev/resultRef": reference}, "")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", "/internal/v1/runs/u-1/result", data)
    assert asked.headers["Authorization"] == "Bearer the-token"


def test_a_result_that_fits_needs_no_web_app(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        assert pod.run("tasks:large", {"n": 98}, **env).value == "x" * 98
    assert server.asked == []


@pytest.mark.parametrize("says", [AWAY, Says(429, {"detail": "slowly"}, {"Retry-After": "0"}), Says(lost=True)])
def test_storing_is_tried_again(pod: RunnerPod, says: Says) -> None:
    with web(pod, first(2, says)) as (server, env):
        ended = pod.run("tasks:large", {"n": 1000}, **env)
    assert (ended.code, ended.value["tidegate.dev/resultRef"]["bytes"]) == (0, 1002)
    assert len(server.asked) == 3


def test_a_result_that_cannot_be_stored_fails_the_attempt_before_its_time_is_over(pod: RunnerPod) -> None:
    with web(pod, lambda _: AWAY) as (server, env):
        ended = pod.run("tasks:large", {"n": 1000}, **env | {"TIDEGATE_TIMEOUT_SECONDS": "2"})
    assert (ended.code, ended.result) == (1, "the result of 1002 bytes can't be stored: The database doesn't answer.")
    assert len(server.asked) > 1


def test_a_result_that_is_refused_ends_the_run(pod: RunnerPod) -> None:
    with web(pod, lambda _: Says(413, {"detail": "too large"})) as (_, env):
        ended = pod.run("tasks:large", {"n": 1000}, **env)
    assert (ended.code, "too large" in ended.value["tidegate.dev/resultTooLarge"]) == (64, True)
    with web(pod, lambda _: Says(422, {"detail": "no JSON"})) as (_, env):
        ended = pod.run("tasks:large", {"n": 1000}, **env)
    assert (ended.code, ended.result) == (64, "the result of 1002 bytes can't be stored: no JSON")
    with web(pod, stored) as (server, env):
        ended = pod.run("tasks:large", {"n": 9 * 1024 * 1024}, **env)
    assert (ended.code, "at most 8388608 are kept" in ended.result, server.asked) == (64, True, [])


def test_a_redirect_takes_the_token_nowhere(pod: RunnerPod) -> None:
    with ScriptedWeb(stored) as elsewhere, web(pod, lambda _: Says(307, None, {"Location": elsewhere.url})) as (_, env):
        assert pod.run("tasks:large", {"n": 1000}, **env).code == 1
    assert elsewhere.asked == []


def test_a_proxy_of_the_outer_world_is_not_asked_for_the_web_part(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        assert pod.run("tasks:large", {"n": 1000}, **env | {"http_proxy": "http://127.0.0.1:9"}).code == 0
    assert len(server.asked) == 1


def test_a_checkpoint_is_committed_before_the_line_returns(pod: RunnerPod) -> None:
    with web(pod, first(0, AWAY)) as (server, env):
        assert pod.run("tasks:saves", {"value": {"page": 3}}, **env).value == [None, {"page": 3}]
    assert [(asked.method, asked.body) for asked in server.asked] == [("GET", b""), ("PUT", b'{"page":3}')]


def test_a_checkpoint_waits_until_the_web_part_is_back(pod: RunnerPod) -> None:
    with web(pod, first(3, AWAY)) as (server, env):
        assert pod.run("tasks:saves", {"value": 1}, **env).value == [None, 1]
    assert len(server.asked) == 5


def test_a_checkpoint_that_is_never_answered_fails_the_attempt_before_its_time_is_over(pod: RunnerPod) -> None:
    with web(pod, lambda asked: Says(hangs=asked.method == "PUT", status=404)) as (_, env):
        ended = pod.run("tasks:saves", {"value": 1}, **env | {"TIDEGATE_TIMEOUT_SECONDS": "2"})
    assert (ended.code, ended.result.startswith("ApiError: no answer from http://")) == (1, True)


def test_a_web_app_that_never_answers_does_not_keep_a_task_from_its_end(pod: RunnerPod) -> None:
    with web(pod, lambda _: Says(hangs=True)) as (server, env):
        ended = pod.run("tasks:bursts", **env)
    assert (ended.code, ended.value) == (0, "ended")
    assert len(server.asked) <= 3  # each of them waits for its answer


def test_a_checkpoint_that_is_not_json_or_too_large_is_refused_at_the_line(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        ended = pod.run("tasks:saves", {"value": "x" * 1024 * 1024}, **env)
    assert (ended.code, "the checkpoint has 1048578 bytes" in ended.result) == (1, True)
    assert server.to("/checkpoint") == [asked for asked in server.asked if asked.method == "GET"]


def test_a_run_that_waits_for_its_checkpoint_can_be_cancelled(pod: RunnerPod) -> None:
    with web(pod, lambda _: AWAY) as (server, env):
        process = pod.start("tasks:waits_after_checkpoint", **env)
        wait_until(lambda: len(server.asked) > 1, what="another try")
        process.send_signal(signal.SIGTERM)
        assert pod.ended(process).code == 143


def test_without_the_web_part_a_checkpoint_ends_the_run(pod: RunnerPod) -> None:
    ended = pod.run("tasks:saves", {"value": 1}, TIDEGATE_RUN="works")
    assert ended.code == 64
    assert ended.result == "NeedsApi: a checkpoint needs Tidegate's web app, which isn't installed"


def test_without_the_web_part_metadata_are_one_warning(pod: RunnerPod) -> None:
    ended = pod.run("tasks:tells_all")
    assert (ended.code, ended.value, ended.err.count("not reported")) == (0, "ok", 1)


def test_changes_of_metadata_arrive_in_order_and_few_requests(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        assert pod.run("tasks:tells_all", **env).code == 0
    rows: dict[str, Any] = {}
    for asked in server.to("/metadata"):
        rows.update(asked.json.get("set", {}))
        for key, item in asked.json.get("append", {}).items():
            rows[key] = [*rows.get(key, []), item]
        for key, by in asked.json.get("increment", {}).items():
            rows[key] = rows.get(key, 0) + by
    assert rows == {"shop": "main", "files": ["a", "b"], "rows": 0}
    assert len(server.asked) <= 4


def counted(server: ScriptedWeb, *, but: int = 0) -> int:
    return sum(asked.json["increment"]["n"] for asked in server.to("/metadata")[but:])


def test_counts_are_sent_again_when_they_surely_were_not_taken(pod: RunnerPod) -> None:
    with web(pod, first(1, AWAY)) as (server, env):
        assert pod.run("tasks:counts", {"n": 50}, **env).code == 0
    assert counted(server, but=1) == 50


def test_counts_whose_answer_was_lost_are_not_sent_twice_and_that_is_logged(pod: RunnerPod) -> None:
    with web(pod, first(1, Says(lost=True))) as (server, env):
        ended = pod.run("tasks:counts", {"n": 50}, **env)
    assert (ended.code, counted(server)) == (0, 50)
    lost = server.asked[0].json["increment"]["n"]
    assert f"tidegate: {lost} changes of the metadata were not reported" in ended.err


def test_what_is_too_much_is_dropped_and_counted(pod: RunnerPod) -> None:
    with web(pod, lambda _: Says(422, {"detail": "no"})) as (_, env):
        ended = pod.run("tasks:counts", {"n": 5000}, **env)
    assert (ended.code, ended.value) == (0, "ok")
    assert "tidegate: 5000 changes of the metadata were not reported" in ended.err


def test_what_is_not_taken_is_bounded_and_every_change_of_it_is_counted(pod: RunnerPod) -> None:
    with web(pod, lambda _: Says(hangs=True)) as (server, env):
        ended = pod.run("tasks:counts", {"n": 5000}, **env)
    assert (ended.code, ended.value) == (0, "ok")
    assert len(server.asked) <= 2  # the second as the task ends, where the first has been given up by then
    assert "tidegate: 5000 changes of the metadata were not reported" in ended.err


def test_progress_costs_the_task_next_to_nothing_and_its_last_word_arrives(pod: RunnerPod) -> None:
    with web(pod, stored) as (server, env):
        ended = pod.run("tasks:bursts", **env)
    assert ended.value == "ended"
    assert len(server.asked) < 12  # of 100,001 values
    assert server.asked[-1].json == {"progress": 1.0, "message": "done"}


CHILD = {"name": "small", "uid": "c-1", "phase": "Pending", "result": None}


def children(answers: list[Says], pages: list[list[dict[str, Any]]]) -> Callable[[Asked], Says]:
    """POSTs are answered in turn; the pages of the list are what there is."""

    def answer(asked: Asked) -> Says:
        if asked.method == "POST":
            return answers.pop(0)
        number = int(asked.path.partition("after=")[2] or 0)
        after = str(number + 1) if number + 1 < len(pages) else None
        return Says(200, {"items": pages[number], "after": after})

    return answer


ENDED = CHILD | {"phase": "Succeeded", "result": [1]}


def test_a_child_whose_answer_was_lost_is_found_and_not_made_twice(pod: RunnerPod) -> None:
    others = [CHILD | {"name": "another", "uid": "c-2"}]
    answers = [Says(lost=True), AWAY, Says(409, {"detail": "it exists"})]
    with web(pod, children(answers, [others, [ENDED]])) as (server, env):
        ended = pod.run("tasks:starts", **env)
    assert (ended.code, ended.value) == (0, ["c-1", [1]]), ended.err
    posts = [asked.json for asked in server.asked if asked.method == "POST"]
    assert posts == [{"name": "small", "taskRef": {"name": "resize"}}] * 3


def test_a_name_that_another_run_has_is_refused(pod: RunnerPod) -> None:
    with web(pod, children([Says(409, {"detail": "it exists"})], [[ENDED]])) as (_, env):
        assert pod.run("tasks:starts", **env).result == "ApiError: it exists"
    with web(pod, children([AWAY, Says(409, {"detail": "it exists"})], [[]])) as (_, env):
        assert "it isn't a child of this one" in pod.run("tasks:starts", **env).result


def test_who_waits_for_a_child_outlasts_a_web_part_that_is_away(pod: RunnerPod) -> None:
    away = [AWAY, AWAY]
    there = children([Says(201, CHILD)], [[ENDED]])
    with web(pod, lambda asked: away.pop() if asked.method == "GET" and away else there(asked)) as (_, env):
        assert pod.run("tasks:starts", **env).value == ["c-1", [1]]


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_what_a_run_stores_is_stored_on_every_python(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    pod = RunnerPod(tmp_path, TASKS, python)
    with web(pod, stored) as (_, env):
        assert pod.run("tasks:saves", {"value": 1}, **env).value == [None, 1]
        assert pod.run("tasks:tells_all", **env).err == ""
    with web(pod, children([Says(201, CHILD)], [[ENDED]])) as (_, env):
        assert pod.run("tasks:starts", **env).value == ["c-1", [1]]
