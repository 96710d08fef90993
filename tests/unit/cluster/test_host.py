"""What is said when the host lacks something."""

from pathlib import Path

import pytest
from tidegate_cluster import __main__, host, toolchain
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """A host without root, Docker and packages."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path / "cache"))
    return Settings(cache=tmp_path / "cache", state=tmp_path / "state", first_network=200)


@pytest.mark.usefixtures("bare")
def test_neither_docker_nor_root_is_one_line_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["up"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "start Docker, or run this again as root" in complaint


@pytest.mark.usefixtures("bare")
def test_kind_without_docker_is_refused() -> None:
    with pytest.raises(ClusterError, match="no Docker engine answers"):
        host.choose_provider("kind")


def test_missing_packages_are_named_together(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "missing_packages", lambda _packages: ["buildah", "runc"])
    with pytest.raises(ClusterError, match="buildah runc"):
        host.ensure(["buildah", "runc"], settings=bare)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("command", [["kubeconfig"], ["env"], ["load", "x.tar"], ["node", "add", "node-2"]])
def test_commands_on_no_cluster_say_so(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(command) == 1
    assert capsys.readouterr().err == "error: there is no cluster demo: run `up --name demo` first\n"


@pytest.mark.usefixtures("bare")
def test_down_of_nothing_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["down"]) == 0
    assert capsys.readouterr().err == ""


def test_versions_of_go_are_compared_as_numbers() -> None:
    wanted = toolchain.wanted_version(go_mod="module m\n\ngo 1.26.6\n")
    assert toolchain.parse_version(text="go1.26.10") > wanted
    assert toolchain.parse_version(text="go1.9.7") < wanted
    assert toolchain.parse_version(text="go1.27rc1") > wanted
