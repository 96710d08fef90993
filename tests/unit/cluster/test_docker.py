"""What stands before runc, and the files of a node image."""

import json
import tarfile
from pathlib import Path

import pytest
from tidegate_cluster import archive
from tidegate_cluster.settings import Settings
from tidegate_docker import node_files, runc
from tidegate_docker.engine import Engine

ALL = "CapBnd:\t000001ffffffffff\n"
WITHOUT_RESOURCE = "CapPrm:\t0\nCapBnd:\t000001fffeffffff\n"


def test_a_capability_that_the_engine_lacks_is_left_out_with_what_needs_it() -> None:
    process = {
        "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_RESOURCE"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
        "oomScoreAdj": -999,
    }
    runc.reduce(process, allowed=runc.had(WITHOUT_RESOURCE))
    assert process == {"capabilities": {"bounding": ["CAP_SYS_ADMIN"], "permitted": []}, "oomScoreAdj": 0}


def test_an_engine_that_lacks_nothing_changes_nothing() -> None:
    process = {"capabilities": {"bounding": ["CAP_SYS_RESOURCE"]}, "rlimits": [{}], "oomScoreAdj": -999}
    before = json.dumps(process)
    runc.reduce(process, allowed=runc.had(ALL))
    assert json.dumps(process) == before


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--log", "x", "create", "--bundle", "/b", "id"], (Path("/b/config.json"), True)),
        (["create", "--bundle=/b", "id"], (Path("/b/config.json"), True)),
        (["exec", "--process", "/p", "id"], (Path("/p"), False)),
        (["delete", "--force", "id"], None),
        (["state", "create"], None),
    ],
)
def test_only_what_starts_something_is_changed(arguments: list[str], found: tuple[Path, bool] | None) -> None:
    assert runc.described(arguments) == found


def test_a_node_asks_the_registry_beside_the_engine_first() -> None:
    made = node_files.files(kubernetes="v1.37.2", provisioner="v1", specification={"process": {"rlimits": []}})
    assert node_files.REGISTRY in made["etc/containerd/certs.d/docker.io/hosts.toml"]
    assert node_files.REGISTRY in made["etc/containerd/certs.d/localhost:5000/hosts.toml"]
    assert "rlimits" not in json.loads(made["etc/containerd/cri-base.json"])["process"]


def test_an_engine_that_was_never_started_has_its_folder_in_the_state_and_does_not_run(tmp_path: Path) -> None:
    engine = Engine(settings=Settings(cache=tmp_path / "cache", state=tmp_path / "state", first_network=200))
    assert engine.directory == tmp_path / "state/docker"
    assert not engine.running()


def test_images_of_one_archive_share_their_layers(tmp_path: Path) -> None:
    layer = archive.layer_of({"/program": Path(__file__)})
    images = [archive.Image(reference=f"a/{n}:1", layers=[layer], config={"Cmd": [n]}) for n in ("x", "y")]
    archive.write_all(tmp_path / "both.tar", images)
    with tarfile.open(tmp_path / "both.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
    assert [name.endswith(".tar") for name in names].count(True) == 1
    assert [entry["RepoTags"] for entry in manifest] == [["a/x:1"], ["a/y:1"]]
    assert len({entry["Config"] for entry in manifest}) == 2
