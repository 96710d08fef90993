"""The program's processes as the chart starts them: probes, and an end that doesn't wait for open streams."""

import signal
from pathlib import Path

import pytest
import urllib3
from support import fork_server
from support.pods import Pod
from support.web import Events, Stack


@pytest.mark.parametrize("command", ["serve", "live"])
def test_probes_and_metrics(stack: Stack, tmp_path: Path, command: str) -> None:
    with stack.process(command, actor="web", log=tmp_path / "log") as process:
        assert process.probe("/healthz") == (200, "ok\n")
        status, metrics = process.probe("/metrics")
        assert status == 200
        assert "tidegate_web_request_seconds" in metrics
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(timeout=120) == 0


def test_all_ends_soon_though_streams_are_open(stack: Stack, tmp_path: Path) -> None:
    parts = stack.parts("web")
    with stack.process("all", actor="web", log=tmp_path / "log", shutdown_seconds=60) as process:
        me = parts.sign_in()
        address = f"http://127.0.0.1:{process.port}/live/v1/projects/{stack.project}/events"
        with Events(address, cookie=me.cookie()) as stream:
            assert stream.next()[0] == "hello"
            process.process.send_signal(signal.SIGTERM)
            with pytest.raises(EOFError):
                stream.next()
        assert process.process.wait(timeout=120) == 0


@pytest.mark.parametrize("command", ["serve", "all"])
def test_progress_that_waits_its_turn_is_written_at_the_end(stack: Stack, tmp_path: Path, command: str) -> None:
    parts = stack.parts("web")
    pod = Pod(stack, parts)
    with stack.process(command, actor="web", log=tmp_path / "log", progress_seconds=3600) as process:
        address = f"http://127.0.0.1:{process.internal_port}/internal/v1/runs/{pod.uid}/progress"
        headers = {"Authorization": f"Bearer {pod.token}"}
        with urllib3.PoolManager() as pool:
            for number in (0.1, 0.2, 0.3):
                answer = pool.request("POST", address, headers=headers, json={"progress": number}, retries=False)
                assert answer.status == 204
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(timeout=120) == 0
    assert [row.progress for row in parts.rows("SELECT progress FROM attempt_progress")] == [0.3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TIDEGATE_SECRET_KEY": "short"}, "TIDEGATE_SECRET_KEY: set it to at least 32"),
        ({"TIDEGATE_PORT": "http"}, "TIDEGATE_PORT"),
        ({"TIDEGATE_DATABASE_URL": "mysql://x/y"}, "only postgresql:// is supported"),
        ({"TIDEGATE_ADMIN_PASSWORD_FILE": "/nonexistent"}, "TIDEGATE_ADMIN_PASSWORD_FILE=/nonexistent: No such file"),
        ({"TIDEGATE_NAMESPACES": "ok,Not OK"}, "is no namespace name"),
    ],
)
def test_bad_settings_are_one_line(shared_stack: Stack, changes: dict[str, str], words: str) -> None:
    environment = shared_stack.environment("web") | changes
    done = fork_server.run_to_end(fork_server.WEB, ["-m", "tidegate_web", "serve"], env=environment)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
