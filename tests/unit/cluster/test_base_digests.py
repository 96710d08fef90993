"""The digests of public images: asked of a registry, recorded, and needed by a build that is pushed."""

import hashlib
import re
from pathlib import Path

import pytest
from support.registry import Registry
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings
from tidegate_images import __main__ as command
from tidegate_images import bases, digests, registry

TAG = "library/python:3.13-slim"
REFERENCE = f"docker.io/{TAG}"
INDEX = b'{"schemaVersion": 2, "manifests": []}'
DIGEST = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"


@pytest.mark.parametrize("wants_token", [False, True])
def test_a_registry_answers_the_digest_of_a_tag(*, wants_token: bool) -> None:
    with Registry({TAG: INDEX}, wants_token=wants_token) as server:
        assert registry.digest_of(REFERENCE, mirror=server.url) == DIGEST


def test_a_digest_that_is_not_that_of_the_manifest_is_refused() -> None:
    with Registry({TAG: INDEX}, lies=True) as server, pytest.raises(ClusterError, match="but what it sent is"):
        registry.digest_of(REFERENCE, mirror=server.url)


def test_a_tag_that_is_not_there_and_a_registry_that_is_away_are_reported() -> None:
    with Registry({}) as server:
        with pytest.raises(ClusterError, match=r"can't get the digest of docker.io/library/python:3.13-slim.*404"):
            registry.digest_of(REFERENCE, mirror=server.url)
        away = server.url
    with pytest.raises(ClusterError, match="can't get the digest of"):
        registry.digest_of(REFERENCE, mirror=away)
    with pytest.raises(ClusterError, match="no URL of a registry"):
        registry.digest_of(REFERENCE, mirror="file:///etc")


def test_renewing_follows_a_tag_that_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "digests.json"
    monkeypatch.setenv("TIDEGATE_CACHE", str(tmp_path / "cache"))
    with Registry({TAG: INDEX}) as server:
        arguments = ["bases", "--mirror", server.url, "--file", str(file)]
        assert command.main(arguments) == 0
        assert digests.read(file) == {REFERENCE: DIGEST}
        server.manifests[TAG] = b"{}"
        assert command.main(arguments) == 0
        moved = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
        assert digests.read(file) == {REFERENCE: moved}
        assert f"{REFERENCE}@{moved}" in capsys.readouterr().out
        server.manifests.clear()
        assert command.main(arguments) == 1
        assert digests.read(file) == {REFERENCE: moved}, "a failure leaves what was recorded"


def test_a_build_that_is_pushed_needs_a_digest() -> None:
    with pytest.raises(ClusterError, match="run `make bases`"):
        digests.pinned(REFERENCE, digests={}, release=True)
    assert digests.pinned(REFERENCE, digests={}, release=False) == REFERENCE


def test_without_a_digest_a_release_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    places = Settings(cache=tmp_path / "cache", state=tmp_path / "state", first_network=200)
    with pytest.raises(ClusterError, match="run `make bases`"):
        command.build(settings=places, docker=True, release=True, recorded={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("release", [False, True])
def test_a_recorded_digest_counts_for_every_build(*, release: bool) -> None:
    assert digests.pinned(REFERENCE, digests={REFERENCE: DIGEST}, release=release) == f"{REFERENCE}@{DIGEST}"


def test_what_is_recorded_are_digests_of_the_bases() -> None:
    recorded = digests.read()
    assert set(recorded) <= {base.reference for base in bases.ALL.values()}
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in recorded.values())


@pytest.mark.parametrize("path", ["operator/Dockerfile", "webapp/Dockerfile", "runner-image/Dockerfile"])
def test_a_dockerfile_starts_from_the_base_that_the_digest_is_of(path: str) -> None:
    text = (command.checkout() / path).read_text(encoding="utf-8")
    assert f"ARG PYTHON={bases.PYTHON.reference}\n" in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON}", "dependencies"}
