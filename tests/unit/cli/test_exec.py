"""`tidegate exec`, `tidegate tasks export` and the plugin: processes that need no cluster."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml
from support.command import Command

TASKS = """
import datetime, os, sys, time
from tidegate import AbortRun, RetryAfter, task

@task
def resize(width: int, name: str = "x"):
    print("resizing", name)
    return {"width": width, "attempt": os.environ["TIDEGATE_ATTEMPT"], "key": os.environ.get("TIDEGATE_API_KEY")}

@task
def echo(sha: str, version: str):
    return {"said": f"{sha} {version}", "set": {2, 1}, "when": datetime.date(2026, 1, 2)}

@task
def large():
    return 2**64

@task
def broken():
    raise ValueError("no such picture")

@task
def abort():
    raise AbortRun("never")

@task
def later():
    raise RetryAfter(5)

@task
def wait(file: str):
    open(file, "w").close()
    time.sleep(60)

@wait.on_cancel
def tidy():
    print("tidied up")
"""


@pytest.fixture
def tidegate(tmp_path: Path) -> Command:
    (tmp_path / "pictures.py").write_text(TASKS)
    return Command(tmp_path, TIDEGATE_API_URL="http://127.0.0.1:9", TIDEGATE_API_KEY="tg_secret")


def test_a_function_of_a_file_gets_its_payload_and_gives_its_result(tidegate: Command) -> None:
    ended = tidegate.ok("exec", f"{tidegate.home}/pictures.py:resize", "--payload", '{"width": 8}', "-p", "name=beach")
    assert ended.json == {"width": 8, "attempt": "1", "key": None}
    assert ended.err == "resizing beach\n"


@pytest.mark.parametrize(("function", "code"), [("broken", 1), ("abort", 64), ("later", 65), ("nothing", 64)])
def test_the_exit_code_is_the_runners(tidegate: Command, function: str, code: int) -> None:
    ended = tidegate.run("exec", f"{tidegate.home}/pictures.py:{function}")
    assert (ended.code, ended.out) == (code, "")


def test_hashes_and_versions_are_text_and_results_are_converted_as_in_a_pod(tidegate: Command) -> None:
    ended = tidegate.ok("exec", f"{tidegate.home}/pictures.py:echo", "-p", "sha=7e45310", "-p", "version=1.10")
    assert ended.json == {"said": "7e45310 1.10", "set": [1, 2], "when": "2026-01-02"}
    refused = tidegate("exec", f"{tidegate.home}/pictures.py:large")
    assert (refused.code, "the result is not JSON: an integer beyond ±2^63" in refused.err) == (1, True)


def test_a_payload_that_doesnt_fit_is_reported_as_in_a_pod(tidegate: Command) -> None:
    ended = tidegate("exec", f"{tidegate.home}/pictures.py:resize", "--payload", '{"width": "wide"}')
    assert (ended.code, "argument 'width' must be integer" in ended.err) == (64, True)


def test_an_interrupt_is_a_cancelling(tidegate: Command) -> None:
    begun = tidegate.home / "begun"
    with tidegate.start("exec", f"{tidegate.home}/pictures.py:wait", "-p", f"file={begun}") as command:
        command.has_made(begun)
        ended = command.interrupt().ended()
    assert ended.code == 130
    assert "tidied up" in ended.err


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("pictures.py", "must look like task.py:function"),
        ("nowhere.py:f", "there is no file nowhere.py"),
        ("pictures.py:", "must look like"),
    ],
)
def test_what_cant_be_run_is_one_line(tidegate: Command, function: str, said: str) -> None:
    assert said in tidegate("exec", function).fault


def test_a_python_without_the_library_is_reported(tidegate: Command, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    bare = f"{tmp_path}/bare/bin/python"
    ended = tidegate("exec", f"{tmp_path}/pictures.py:resize", VIRTUAL_ENV=f"{tmp_path}/bare")
    assert f"{bare} has no library tidegate" in ended.fault
    assert "/nowhere can't be run" in tidegate("exec", f"{tmp_path}/pictures.py:resize", "--python", "/nowhere").fault


def test_tasks_are_written_from_functions(tidegate: Command) -> None:
    file = f"{tidegate.home}/pictures.py"
    written = list(yaml.safe_load_all(tidegate.ok("tasks", "export", file, "--image", "shop:1").out))
    named = {task["metadata"]["name"]: task["spec"] for task in written}
    assert sorted(named) == ["abort", "broken", "echo", "large", "later", "resize", "wait"]
    assert (named["resize"]["image"], named["resize"]["entrypoint"]) == ("shop:1", "pictures:resize")
    (tidegate.home / "empty.py").write_text("print('hello')\n")
    assert (
        "no function marked with @task"
        in tidegate("tasks", "export", f"{tidegate.home}/empty.py", "--image", "i").fault
    )
    (tidegate.home / "torn.py").write_text("import nothing_like_it\n")
    assert "nothing_like_it" in tidegate("tasks", "export", f"{tidegate.home}/torn.py", "--image", "i").fault


def test_a_task_of_a_pool_is_written_without_an_image(tidegate: Command) -> None:
    file = tidegate.home / "warm.py"
    file.write_text("from tidegate import task\n\n@task(pool='warm')\ndef hello(): ...\n")
    (written,) = yaml.safe_load_all(tidegate.ok("tasks", "export", str(file)).out)
    assert (written["spec"]["pool"], written["spec"].get("image")) == ("warm", None)
    refused = tidegate("tasks", "export", f"{tidegate.home}/pictures.py")
    assert "has neither an image nor a pool" in refused.fault


def test_the_plugin_of_kubectl_calls_itself_so() -> None:
    plugin = Path(sys.executable).with_name("kubectl-tidegate")
    said = subprocess.run([plugin, "ls", "--help"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage: kubectl tidegate ls")
