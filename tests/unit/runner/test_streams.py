"""Standard output and error in any state: work that is done has succeeded, and a line of the log is never an error."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.runner import RUNNER, RunnerPod
from tidegate import log

TASKS = """
import io, os, sys
from tidegate import AbortRun, log, metadata, progress, task

def spoil(how):
    if how == "closed": sys.stdout.close(); sys.stderr.close()
    if how == "none": sys.stdout = sys.stderr = None
    if how == "replaced": sys.stdout = sys.stderr = object()
    if how == "descriptors": os.close(1); os.close(2)
    if how == "ascii":
        sys.stdout = io.TextIOWrapper(io.BytesIO(), "ascii", "strict")
        sys.stderr = io.TextIOWrapper(io.BytesIO(), "ascii", "strict")

def speaks():
    log.info("fertig → ok", city="Zürich")
    progress(0.5)
    metadata.set("a", 1)

@task
def works(how: str):
    if how == "buffered":
        sys.stdout.reconfigure(line_buffering=False)
        print("left in the buffer")
        os.close(1)
    spoil(how)
    speaks()
    return 1

@task
def fails(how: str):
    spoil(how)
    speaks()
    raise AbortRun("hopeless → ü")

@task
def much():
    for number in range(10_000):
        log.info("line", number=number, words="x" * 100)
    return 1

@task
def words():
    print("→ ü \\ud800")
    log.info("→ ü", value="\\ud800", nan=float("nan"))
    log.info("fertig → ok", city="Zürich")
    raise AbortRun("→ ü")
"""

STATES = ["closed", "none", "replaced", "descriptors", "ascii", "buffered"]


@pytest.fixture
def pod(tmp_path: Path) -> RunnerPod:
    return RunnerPod(tmp_path, TASKS)


@pytest.mark.parametrize("how", STATES)
def test_streams_in_any_state_change_no_outcome(pod: RunnerPod, how: str) -> None:
    ended = pod.run("tasks:works", {"how": how})
    assert (ended.code, ended.value) == (0, 1)
    failed = pod.run("tasks:fails", {"how": how})
    assert (failed.code, failed.result) == (64, "hopeless → ü")


@pytest.mark.parametrize("redirect", [">&- 2>&-", "</dev/null >/dev/full 2>/dev/full"])
def test_a_process_that_begins_without_usable_streams_does_its_work(pod: RunnerPod, redirect: str) -> None:
    assert pod.run("tasks:works", {"how": "as they are"}).code == 0  # writes the files
    (pod.folder / "result").unlink()
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m tidegate tasks:works {redirect}', pod.python],
        cwd=pod.folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(RUNNER),
            "TIDEGATE_PAYLOAD_FILE": str(pod.folder / "payload.json"),
            "TIDEGATE_RESULT_FILE": str(pod.folder / "result"),
        },
        check=False,
    )
    assert (done.returncode, (pod.folder / "result").read_text()) == (0, "1")


def test_a_reader_that_has_gone_changes_no_outcome(pod: RunnerPod) -> None:
    process = pod.start("tasks:much")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert (process.wait(timeout=30), (pod.folder / "result").read_text()) == (0, "1")


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "utf-8:strict"])
def test_what_a_stream_cannot_encode_is_escaped(pod: RunnerPod, encoding: str) -> None:
    ended = pod.run("tasks:words", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (ended.code, ended.result) == (64, "→ ü")
    printed, odd, line = ended.out.splitlines()
    assert printed == ("→ ü \\ud800" if "utf" in encoding else "\\u2192 \\xfc \\ud800")
    assert json.loads(odd)["message"] == "→ ü"
    record = json.loads(line)
    assert (record["message"], record["city"]) == ("fertig → ok", "Zürich")


def test_a_number_that_is_no_json_becomes_text_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("step", loss=float("nan"), bounds=[float("-inf"), {"high": float("inf")}], epoch=3)
    record = json.loads(capsys.readouterr().out)
    assert (record["loss"], record["bounds"], record["epoch"]) == ("NaN", ["-Infinity", {"high": "Infinity"}], 3)


def test_a_circle_with_a_number_that_is_no_json_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    circle: list[object] = [float("nan")]
    circle += [circle, circle]
    log.info("odd", circle=circle)
    record = json.loads(capsys.readouterr().out)
    assert (record["message"], "[...]" in record["values"]) == ("odd", True)
