"""Pods' logs: followed from their start, kept once, ended with a mark that says what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kubelet import Kubelet, Log
from support.refused_rows import accept_rows, refuse_rows
from support.runs import Json
from support.servers import wait_until
from support.web import Parts, Stack
from tidegate_api.job_names import job_name
from tidegate_web.mirror.logs.lines import LOST


@pytest.fixture
def kubelet(stack: Stack, tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as made:
        yield made


def start(stack: Stack, kubelet: Kubelet, name: str, attempt: int = 1, run: Json | None = None) -> tuple[Json, str]:
    """A run with a pod that runs."""
    run = run or stack.runs.create(name)
    uid = run["metadata"]["uid"]
    job = stack.runs.job(run, attempt)
    pod = f"{job_name(name, uid, attempt)}-pod"
    stack.runs.pod(pod, owner=job, run_uid=uid, node=kubelet.name)
    stack.runs.pod_state(pod)
    return run, pod


def close(stack: Stack, parts: Parts, log: Log, pod: str, last: bytes, *, exit_code: int = 0) -> None:
    """The container's last words and its end, until the log has its end mark."""
    log.write(last, close=True)
    stack.runs.pod_state(pod, exit_code=exit_code)
    wait_until(lambda: bool(marks(parts)), what="the end mark")


def text(parts: Parts, run: str, query: str = "") -> str:
    answer: Any = parts.sign_in().get(f"runs/{run}/logs{query}").json
    return "".join(item["text"] for item in answer["items"])


def marks(parts: Parts) -> list[tuple[int, str, str | None]]:
    return [tuple(end) for end in parts.rows("SELECT attempt, mark, reason FROM log_ends ORDER BY attempt")]


def stored(parts: Parts) -> int:
    return int(parts.rows("SELECT coalesce(sum(size), 0) FROM log_chunks")[0][0])


@pytest.mark.quick
def test_followed_from_the_start_to_the_end(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    _, pod = start(stack, kubelet, "talks")
    log = kubelet.log(pod)
    log.write(b"one\n")
    wait_until(lambda: stored(parts) == 4, what="the first line")
    log.write("zwei ä\n".encode())
    close(stack, parts, log, pod, b"no newline at the end")
    assert marks(parts) == [(1, "complete", None)]
    assert text(parts, "talks") == "one\nzwei ä\nno newline at the end"
    plain = parts.sign_in().get("runs/talks/logs", headers={"Accept": "text/plain"})
    assert plain.text == "one\nzwei ä\nno newline at the end"


def test_a_new_mirror_goes_on_where_the_last_one_stopped(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    first = stack.mirror()
    _, pod = start(stack, kubelet, "long")
    log = kubelet.log(pod)
    log.write(b"one\ntwo\n")
    wait_until(lambda: stored(parts) == 8, what="two lines")
    first.end()
    log.write(b"three\n")
    stack.mirror()
    wait_until(lambda: stored(parts) == 14, what="the third line")
    close(stack, parts, log, pod, b"four\n", exit_code=1)
    assert text(parts, "long") == "one\ntwo\nthree\nfour\n"


def test_a_log_that_goes_on_in_another_file_is_followed_further(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    _, pod = start(stack, kubelet, "rotated")
    log = kubelet.log(pod)
    log.write(b"one\ntwo\n")
    wait_until(lambda: stored(parts) == 8, what="two lines")
    log.rotate()
    close(stack, parts, log, pod, b"three\n")
    assert marks(parts) == [(1, "complete", None)]
    assert text(parts, "rotated") == "one\ntwo\nthree\n"


def test_a_new_mirror_finds_its_place_in_another_file(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    first = stack.mirror()
    _, pod = start(stack, kubelet, "moved")
    log = kubelet.log(pod)
    log.write(b"one\n")
    wait_until(lambda: stored(parts) == 4, what="a line")
    log.rotate()
    log.write(b"two\n")
    wait_until(lambda: stored(parts) == 8, what="a line of the other file")
    first.end()
    log.write(b"three\n")
    stack.mirror()
    wait_until(lambda: stored(parts) == 14, what="the third line")
    close(stack, parts, log, pod, b"four\n")
    assert text(parts, "moved") == "one\ntwo\nthree\nfour\n"


def test_lines_that_the_node_has_thrown_away_unread_are_said_to_be_missing(
    stack: Stack, parts: Parts, kubelet: Kubelet
) -> None:
    first = stack.mirror()
    _, pod = start(stack, kubelet, "hasty")
    log = kubelet.log(pod)
    log.write(b"one\n")
    wait_until(lambda: stored(parts) == 4, what="a line")
    first.end()
    log.write(b"two\n")
    log.rotate()
    log.write(b"three\n", close=True)
    stack.runs.pod_state(pod, exit_code=0)
    stack.mirror()
    wait_until(lambda: bool(marks(parts)), what="the end mark")
    assert text(parts, "hasty") == f"one\n{LOST.decode()}three\n"


LONG = b"x" * 1023 + b"\n"
"""A line. Only logs of some length are looked after: shorter ones stay in one file."""


def test_a_file_that_the_node_begins_unheard_is_read(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    # The kubelet hears of another file only once it has come to the end of the one before.
    stack.mirror()
    _, pod = start(stack, kubelet, "overheard")
    log = kubelet.log(pod)
    log.write(LONG * 512)
    wait_until(lambda: stored(parts) == 512 * 1024, what="the first file")
    log.rotate(overheard=True)
    log.write(b"two\n")
    whole = 512 * 1024 + len(LOST) + 4
    wait_until(lambda: stored(parts) == whole, what="the second file")
    close(stack, parts, log, pod, b"three\n")
    assert text(parts, "overheard", "?limit=500") == (LONG * 512 + LOST).decode() + "two\nthree\n"


def test_postgres_away_loses_no_line(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    _, pod = start(stack, kubelet, "steady")
    log = kubelet.log(pod)
    log.write(b"before\n")
    wait_until(lambda: stored(parts) == 7, what="the first line")
    stack.postgres.stop()
    log.write(b"during\n")
    stack.postgres.start()
    close(stack, parts, log, pod, b"after\n")
    assert text(parts, "steady") == "before\nduring\nafter\n"


def test_attempts_have_logs_of_their_own(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    run, first = start(stack, kubelet, "retried")
    kubelet.log(first).write(b"first\n", close=True)
    stack.runs.pod_state(first, exit_code=1)
    wait_until(lambda: len(marks(parts)) == 1, what="the first end mark")
    _, second = start(stack, kubelet, "retried", 2, run)
    kubelet.log(second).write(b"second\n", close=True)
    stack.runs.pod_state(second, exit_code=0)
    wait_until(lambda: len(marks(parts)) == 2, what="the second end mark")
    assert text(parts, "retried", "?attempt=1") == "first\n"
    assert text(parts, "retried", "?attempt=2") == "second\n"
    assert text(parts, "retried") == "first\nsecond\n"


def test_a_log_beyond_the_cap_is_cut_and_says_so(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror(log_limit_bytes=2000)
    _, pod = start(stack, kubelet, "chatty")
    kubelet.log(pod).write(b"x" * 99 + b"\n" + b"y" * 5000 + b"\n")
    wait_until(lambda: bool(marks(parts)), what="the end mark")
    assert marks(parts) == [(1, "truncated", "A run keeps 2000 bytes of logs.")]
    assert "the log is cut here" in text(parts, "chatty")


def test_a_pod_deleted_too_early_leaves_a_lost_log(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    _, pod = start(stack, kubelet, "cut")
    kubelet.log(pod).write(b"something\n")
    wait_until(lambda: stored(parts) == 10, what="the line")
    stack.runs.delete_pod(pod)
    wait_until(lambda: bool(marks(parts)), what="the end mark")
    assert marks(parts)[0][1] == "lost"
    assert text(parts, "cut") == "something\n"


def test_a_pod_that_cannot_be_read_is_lost_with_the_reason(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    _, pod = start(stack, kubelet, "mute")
    stack.runs.pod_state(pod, exit_code=0)
    wait_until(lambda: bool(marks(parts)), what="the end mark")
    _, mark, reason = marks(parts)[0]
    assert mark == "lost"
    assert reason is not None
    assert "could not be read" in reason


def test_labels_alone_make_no_pod_a_runs(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror()
    run = stack.runs.create("victim")
    uid = run["metadata"]["uid"]
    misnamed = stack.runs.job(run, name="not-an-attempt")
    orphan = stack.runs.job(run, name=job_name("victim", uid, 7), owned=False)
    for name, owner in (("loose", None), ("misnamed", misnamed), ("orphan", orphan)):
        stack.runs.pod(name, owner=owner, run_uid=uid, node=kubelet.name)
        kubelet.log(name).write(b"forged\n", close=True)
        stack.runs.pod_state(name, exit_code=0)
    real, pod = start(stack, kubelet, "real")
    kubelet.log(pod).write(b"true\n", close=True)
    stack.runs.pod_state(pod, exit_code=0)
    wait_until(lambda: bool(marks(parts)), what="the real end mark")
    assert {str(row.run_uid) for row in parts.rows("SELECT run_uid FROM log_chunks")} == {real["metadata"]["uid"]}


def test_any_bytes(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    """What the container wrote is what is shown, with U+FFFD only where it wrote no UTF-8."""
    stack.mirror()
    _, pod = start(stack, kubelet, "odd")
    log = kubelet.log(pod)
    long = "".join(sign * 100_000 + "\n" for sign in "ü漢🙂")
    log.write(long.encode())
    wait_until(lambda: stored(parts) > 0, what="the first lines")
    odd = b"\xff\xfe nul \x00 half \xe2\x82\n2026-99-99T99:99:99Z no time\n" + b"x" * 3_000_000 + b"\n"
    close(stack, parts, log, pod, odd + "no newline at the end ü".encode())
    whole = long.encode() + odd + "no newline at the end ü".encode()
    shown, after = "", 0
    me = parts.sign_in()
    while True:
        answer: Any = me.get(f"runs/odd/logs?after={after}").json
        if not answer["items"]:
            break
        shown, after = shown + "".join(item["text"] for item in answer["items"]), answer["after"]
    assert shown == whole.decode(errors="replace")
    assert marks(parts) == [(1, "complete", None)]


def test_a_log_that_is_cut_ends_with_a_whole_character(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    stack.mirror(log_limit_bytes=100_001)
    _, pod = start(stack, kubelet, "cut")
    close(stack, parts, kubelet.log(pod), pod, "漢".encode() * 50_000)
    assert "\ufffd" not in text(parts, "cut")
    assert marks(parts)[0][1] == "truncated"


def test_a_log_of_which_postgres_refuses_a_piece_is_read_again(stack: Stack, parts: Parts, kubelet: Kubelet) -> None:
    refuse_rows(parts.engine, "log_chunks", when="NEW.pod_name LIKE 'refused%'")
    mirror = stack.mirror(retry_seconds=0.5)
    logs = {name: (pod, kubelet.log(pod)) for name in ("refused", "sound") for _, pod in [start(stack, kubelet, name)]}
    for pod, log in logs.values():
        log.write(b"one\n")
        log.write(b"two\n", close=True)
        stack.runs.pod_state(pod, exit_code=0)
    wait_until(lambda: marks(parts) == [(1, "complete", None)] and text(parts, "sound") == "one\ntwo\n", what="its log")
    wait_until(lambda: mirror.set_aside("Log") == 1, what="the metric")
    accept_rows(parts.engine)
    wait_until(lambda: text(parts, "refused") == "one\ntwo\n", what="the other log")
    wait_until(lambda: mirror.set_aside("Log") == 0, what="its release")
