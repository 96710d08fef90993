"""A mirror of which a thread has ended or hangs: it doesn't go on leading as if nothing were."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import faulty_mirror
from support.servers import wait_until
from support.web import Parts, Process, Stack, until

REPLACED_SECONDS = 60


@contextmanager
def mirror(stack: Stack, folder: Path, thread: str, *patience: str) -> Iterator[Process]:
    program = [faulty_mirror.__file__, thread, *patience]
    with stack.process(
        "mirror", actor="mirror", log=folder / "log", program=program, namespaces=[stack.project]
    ) as process:
        yield process


def failures(process: Process) -> float:
    found = re.search(r"^tidegate_mirror_thread_failures_total (\S+)$", process.probe("/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize(
    "thread", ["run writer", "log writer", "publisher", "sweeper", "webhooks", "retrier", "informer"]
)
def test_a_thread_that_has_ended_is_replaced(stack: Stack, parts: Parts, tmp_path: Path, thread: str) -> None:
    name = (
        f"informer /apis/tidegate.dev/v1alpha1/namespaces/{stack.project}/taskruns" if thread == "informer" else thread
    )
    with mirror(stack, tmp_path, name) as process:
        stack.runs.create("before")
        until(parts, "before", lambda row: True)
        process.process.send_signal(signal.SIGUSR1)
        if thread == "informer":
            stack.runs.create("wakes-it")  # an exception waits for the end of a blocking read
        for number in range(5):
            stack.runs.create(f"run-{number}")
        wait_until(lambda: failures(process) >= 1, seconds=REPLACED_SECONDS, what="the end of the thread to be seen")
        stack.runs.create("after")
        for run in ("after", *(f"run-{number}" for number in range(5))):
            until(parts, run, lambda row: True)
        assert process.probe("/healthz") == (200, "ok\n")
        assert process.process.poll() is None


def test_a_process_with_a_thread_that_hangs_ends(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    with mirror(stack, tmp_path, "run writer", "2") as process:
        stack.runs.create("before")
        until(parts, "before", lambda row: True)
        process.process.send_signal(signal.SIGUSR2)
        assert process.process.wait(timeout=REPLACED_SECONDS) == 1
        assert "thread run writer has made no progress" in (tmp_path / "log").read_text()
    # The kubelet starts another one.
    stack.runs.create("after")
    stack.mirror()
    until(parts, "after", lambda row: True)


def test_a_mirror_that_waits_for_postgres_is_well(stack: Stack, parts: Parts, tmp_path: Path) -> None:
    with mirror(stack, tmp_path, "run writer", "3") as process:
        stack.runs.create("before")
        until(parts, "before", lambda row: True)
        stack.postgres.stop()
        stack.runs.create("meanwhile")
        wait_until(
            lambda: "waiting to lead" in (tmp_path / "log").read_text().rpartition('"leading"')[2],
            what="its loss of the lead",
        )
        assert process.probe("/healthz") == (200, "ok\n")
        stack.postgres.start()
        until(parts, "meanwhile", lambda row: True)
        assert failures(process) == 0
