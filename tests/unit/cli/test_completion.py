"""What shells complete, and that no one who presses Tab waits long or reads of failures. Names are answered by real servers in
`tests/control_plane` and `tests/web`.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import Command

NAMES = (
    "tidegate show ",
    "tidegate cancel x ",
    "tidegate run ",
    "tidegate queues pause ",
    "tidegate schedules trigger ",
)


@pytest.fixture
def tidegate(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(tidegate: Command, shell: str) -> None:
    assert "_TIDEGATE_COMPLETE" in tidegate.ok("completion", shell).out


def test_commands_and_options_are_known(tidegate: Command) -> None:
    assert tidegate.completed("tidegate queues pau") == ["pause"]
    assert tidegate.completed("tidegate run --wat") == ["--watch"]


@pytest.mark.parametrize("line", NAMES)
def test_no_command_waits_for_a_server_that_does_not_answer(tidegate: Command, silent: str, line: str) -> None:
    # The server never answers, so a shell that waited for it would never have its prompt back.
    assert tidegate.completed(line, TIDEGATE_API_URL=silent, TIDEGATE_API_KEY="tg_x") == []


def test_failures_offer_nothing_without_a_word(tidegate: Command, tmp_path: Path) -> None:
    login = tmp_path / "login.json"
    login.write_text("{}")
    login.chmod(0o644)
    talks = tmp_path / "config"
    talks.write_text(KUBECONFIG)
    for way in (
        {"TIDEGATE_API_URL": "http://127.0.0.1:9", "TIDEGATE_API_KEY": "tg_x"},
        {"TIDEGATE_API_URL": "http://127.0.0.1:9"},
        {"TIDEGATE_LOGIN_FILE": str(login)},
        {"KUBECONFIG": "/nowhere"},
        {"KUBECONFIG": str(talks)},
    ):
        assert tidegate.completed("tidegate show ", **way) == [], way


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: bash
      args: [-c, "echo who are you >&2; read name; exit 1"]
"""
"""By a plugin that wants to talk."""
