"""What goes into image archives, and what stays in the cache."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from tidegate_cluster import archive, commands
from tidegate_images import debian, keeping


def test_an_archive_lists_its_layers_by_their_content(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!/bin/sh\n")
    first, second = archive.layer_of({"/bin/program": program}), tmp_path / "second.tar"
    second.write_bytes(archive.layer_of({"/other": program}))
    target = tmp_path / "image.tar"
    archive.write(target, reference="docker.io/x/y:1", layers=[first, second], config={"Cmd": ["/bin/program"]})
    with tarfile.open(target) as tar:
        contents = {name: (tar.extractfile(name) or io.BytesIO()).read() for name in tar.getnames()}
    (manifest,) = json.loads(contents["manifest.json"])
    assert manifest["RepoTags"] == ["docker.io/x/y:1"]
    image = json.loads(contents[manifest["Config"]])
    digests = [hashlib.sha256(contents[layer]).hexdigest() for layer in manifest["Layers"]]
    assert image["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
    assert len(image["history"]) == 2
    with tarfile.open(fileobj=io.BytesIO(contents[manifest["Layers"][0]])) as layer:
        assert layer.getmember("bin/program").mode == 0o755


def test_the_oldest_archives_of_the_same_image_go(tmp_path: Path) -> None:
    names = ["web-1.tar", "web-2.tar", "web-3.tar", "web-4.tar", "operator-1.tar"]
    for age, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    keeping.prune(tmp_path / "web-4.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["operator-1.tar", *names[1:4]]


def test_packages_come_from_the_mirrors_that_the_host_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["http://other.test/tools/ main", "http://d.test/debian/ contrib", "http://d.test/debian/ main"]
    lines += ["http://d.test/debian-security/ main"]
    monkeypatch.setattr(commands, "run", lambda *_command, **_options: "\n".join(lines))
    monkeypatch.delenv("TIDEGATE_DEBIAN_MIRROR", raising=False)
    assert debian.sources() == [
        "deb http://d.test/debian/ trixie main",
        "deb http://d.test/debian-security/ trixie-security main",
    ]
    monkeypatch.setenv("TIDEGATE_DEBIAN_MIRROR", "http://mine.test/debian")
    assert debian.sources() == ["deb http://mine.test/debian trixie main"]
