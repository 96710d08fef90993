"""What an attempt has used: of its cgroup where there is one, else of its processes; a line before the content of the result file."""

import json
from pathlib import Path

import pytest
from support.runner import Ended, RunnerPod
from tidegate.usage import Usage, read, report

MIB = 2**20


def tree(folder: Path, **files: str) -> str:
    """A cgroup with these files; ``__`` is a ``/``, and ``_`` a ``.``."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


def test_a_cgroup_of_version_2(tmp_path: Path) -> None:
    root = tree(tmp_path, cpu_stat="usage_usec 1234567\nuser_usec 1\nsystem_usec 2\n", memory_peak=f"{210 * MIB}\n")
    assert read(root) == (1.234567, 210 * MIB)


@pytest.mark.parametrize("controller", ["cpuacct", "cpu,cpuacct"])
def test_a_cgroup_of_version_1(tmp_path: Path, controller: str) -> None:
    root = tree(tmp_path, **{f"{controller}__cpuacct_usage": "2500000000\n", "memory__memory.max": "x"})
    (tmp_path / "memory" / "memory.max_usage_in_bytes").write_text(f"{64 * MIB}\n")
    assert read(root) == (2.5, 64 * MIB)


def test_a_kernel_that_keeps_no_peak_and_a_machine_without_cgroups(tmp_path: Path) -> None:
    root = tree(tmp_path, cpu_stat="usage_usec 4000000\n")
    assert read(root).cpu_seconds == 4.0
    assert 4 * MIB < read(root).memory_peak_bytes < 2**36
    none = read(str(tmp_path / "none"))
    assert 0 < none.cpu_seconds < 10_000
    assert 4 * MIB < none.memory_peak_bytes < 2**36


@pytest.mark.parametrize("odd", ["", "max\n", "-1", "1.5", "9" * 30, "\xff", "usage_usec\n", "usage_usec x\n"])
def test_files_that_say_something_else_are_left_out(tmp_path: Path, odd: str) -> None:
    found = read(tree(tmp_path, cpu_stat=odd, memory_peak=odd, cpuacct__cpuacct_usage=odd))
    assert 0 < found.cpu_seconds < 10_000
    assert 4 * MIB < found.memory_peak_bytes < 2**36


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The result file of an attempt whose operator asks for usage."""
    path = tmp_path / "result"
    monkeypatch.setenv("TIDEGATE_RESULT_FILE", str(path))
    monkeypatch.setenv("TIDEGATE_RESULT_MAX_BYTES", "200")
    monkeypatch.setenv("TIDEGATE_REPORT_USAGE", "1")
    return path


@pytest.fixture
def root(tmp_path: Path) -> str:
    return tree(tmp_path / "cgroup", cpu_stat="usage_usec 1234567\n", memory_peak="4096\n")


LINE = '{"tidegate.dev/usage":{"cpuMilliseconds":1234,"memoryPeakBytes":4096}}\n'


def test_the_line_stands_before_the_content(result: Path, root: str) -> None:
    result.write_text('{"a": 1}')
    report(succeeded=True, root=root)
    report(succeeded=True, root=root)  # twice makes it no longer
    assert result.read_text() == LINE + '{"a": 1}'


def test_a_success_without_a_result_has_the_line_alone(result: Path, root: str) -> None:
    report(succeeded=True, root=root)
    assert result.read_text() == LINE


def test_a_failure_that_has_written_nothing_leaves_the_file_empty(result: Path, root: str) -> None:
    """Or its message would no longer be the end of its log."""
    report(succeeded=False, root=root)
    assert result.read_text() == ""


def test_a_result_that_leaves_no_room_stays_alone(result: Path, root: str) -> None:
    fits = "1" * (200 - len(LINE) - 1)
    for content, whole in ((fits, LINE + fits), (fits + "1", fits + "1"), ("1" * 300, "1" * 300)):
        result.write_text(content)
        report(succeeded=True, root=root)
        assert result.read_text() == whole


def test_nothing_is_written_unasked_and_nothing_hinders_the_end(
    result: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_RESULT_FILE", str(result.parent))  # a folder
    report(succeeded=True, root=root)
    monkeypatch.setenv("TIDEGATE_RESULT_FILE", str(result))
    monkeypatch.setenv("TIDEGATE_RESULT_MAX_BYTES", "many")
    report(succeeded=True, root=root)
    monkeypatch.setenv("TIDEGATE_RESULT_MAX_BYTES", "200")
    monkeypatch.delenv("TIDEGATE_REPORT_USAGE")
    report(succeeded=True, root=root)
    assert not result.exists()


TASKS = """
import os, signal, sys, threading
from tidegate import RetryAfter, task

@task
def works():
    return {"sum": sum(range(3_000_000))}

@task
def fails():
    raise ValueError("no")

@task
def later():
    raise RetryAfter(5, "busy")

@task
def exits():
    sys.exit(3)

@task
def is_stopped():
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()

@task
def forks():
    if os.fork() == 0:
        raise ValueError("of the child")
    os.wait()
    return 1
"""


def run(folder: Path, name: str) -> tuple[Ended, object, str]:
    """How it ended, its usage, and what the file has after that line."""
    ended = RunnerPod(folder, TASKS).run(f"tasks:{name}", TIDEGATE_REPORT_USAGE="1")
    line, _, rest = ended.result.partition("\n")
    return ended, json.loads(line)["tidegate.dev/usage"] if rest else None, rest


@pytest.mark.parametrize(
    ("name", "code", "rest"),
    [
        ("works", 0, '{"sum":4499998500000}'),
        ("fails", 1, "ValueError: no"),
        ("later", 65, '{"retryAfterSeconds": 5, "message": "busy"}'),
        ("is_stopped", 143, "terminated by SIGTERM"),
        ("forks", 0, "1"),
    ],
)
def test_an_attempt_reports_its_usage_with_its_outcome(tmp_path: Path, name: str, code: int, rest: str) -> None:
    ended, usage, found = run(tmp_path, name)
    assert (ended.code, found) == (code, rest), ended.err
    assert isinstance(usage, dict)
    assert usage["cpuMilliseconds"] > 0
    assert usage["memoryPeakBytes"] > 4 * MIB


def test_an_exit_by_number_keeps_the_log_as_its_message(tmp_path: Path) -> None:
    ended = RunnerPod(tmp_path, TASKS).run("tasks:exits", TIDEGATE_REPORT_USAGE="1")
    assert (ended.code, ended.result) == (3, "")


def test_it_is_json_in_whole_milliseconds() -> None:
    assert Usage(1.23456, 5).document() == {"cpuMilliseconds": 1234, "memoryPeakBytes": 5}
