"""Turns a Dockerfile of the checkout into an image archive: with Docker where an engine answers, else with buildah."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_cluster import commands, host
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings

from . import bases, keeping
from . import wheels as packages


@dataclass(frozen=True, slots=True)
class Image:
    """One of our images."""

    name: str
    dockerfile: str
    base: str | None = None
    """One of ours that it starts from; without, the public Python image."""
    sources: Sequence[str] = ()
    """What its Dockerfile copies from the checkout, beside wheels; patterns as a shell's."""
    requirements: str | None = None
    """What its Dockerfile installs by pip from an index."""
    by_content: bool = False
    """Whether its tag names its content beside the version: two builds of one version are two images then, also to a
    kubelet that has one of them already (IfNotPresent)."""

    def tag(self, *, version: str, key: str) -> str:
        """The tag of a build. `key`: the hash of what goes into it."""
        return f"{version}-{key}" if self.by_content else version

    def reference(self, tag: str) -> str:
        """The image's name with a tag."""
        return f"docker.io/tidegate/{self.name}:{tag}"


def tag_of(image: Image, archive: Path, *, version: str) -> str:
    """The tag that an archive's image has; the archive's name holds its key."""
    return image.tag(version=version, key=archive.stem.removeprefix(f"{image.name}-"))


def build(
    image: Image,
    *,
    version: str,
    context: Path,
    wheels: Path | None,
    base: Path | None = None,
    public_base: str = bases.PYTHON.reference,
    settings: Settings,
    docker: bool,
) -> Path:
    """The archive of an image, built unless the cache has it of the same content.

    `base`: archive of the image's base, if that is one of ours. `public_base`: what Docker pulls as the base otherwise.
    """
    key = _key(
        image,
        version=version,
        context=context,
        wheels=wheels,
        below=_below(base, public_base=public_base, docker=docker),
    )
    target = settings.cache / "images" / f"{image.name}-{key}.tar"
    if target.exists():
        return target
    started = time.monotonic()
    print(f"building {image.name}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f"{target.name}.half")
    half.unlink(missing_ok=True)
    builder = Docker(public_base=public_base) if docker else Buildah(settings=settings)
    if base is not None:
        builder.bring(base)
    builder.build(image, tag=image.tag(version=version, key=key), context=context, target=half)
    half.replace(target)
    keeping.prune(target)
    print(f"  built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return target


def _below(base: Path | None, *, public_base: str, docker: bool) -> str:
    # An archive of ours has a hash of its content in its name.
    if base is not None:
        return base.name
    return f"docker {public_base}" if docker else bases.key(bases.PYTHON)


def _key(image: Image, *, version: str, context: Path, wheels: Path | None, below: str) -> str:
    digest = hashlib.sha256(f"{version}\0{below}\0{os.uname().machine}\0{image.by_content}".encode())
    digest.update((context / image.dockerfile).read_bytes())
    for file in [*(sorted(wheels.glob("*/*.whl")) if wheels else ()), *_sources(image, context=context)]:
        digest.update(f"\0{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources(image: Image, *, context: Path) -> Sequence[Path]:
    return [path for pattern in image.sources for path in sorted(context.glob(pattern))]


@dataclass(frozen=True, slots=True)
class Docker:
    """The engine builds, pulls bases and pushes with its own credentials."""

    public_base: str = bases.PYTHON.reference
    """What images start from that start from none of ours."""

    def bring(self, archive: Path) -> None:
        """Have an image of ours to start from."""
        commands.run("docker", "load", f"--input={archive}")

    def build(self, image: Image, *, tag: str, context: Path, target: Path) -> None:
        reference = image.reference(tag)
        dockerfile = context / image.dockerfile
        base = () if image.base else (f"--build-arg=PYTHON={self.public_base}",)
        # The client of Debian 12 takes the old builder otherwise, which knows no `COPY --chmod`.
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        options = (f"--file={dockerfile}", f"--tag={reference}", *base)
        commands.run("docker", "build", *options, context, env=environment, timeout=1800)
        commands.run("docker", "save", f"--output={target}", reference)

    def push(self, *, archive: Path, reference: str, destination: str) -> None:
        commands.run("docker", "load", f"--input={archive}")
        commands.run("docker", "tag", reference, destination)
        commands.run("docker", "push", destination, timeout=1800)


@dataclass(frozen=True, slots=True)
class Buildah:
    """Builds with no daemon, in a storage of our own, from a base image made of Debian packages."""

    settings: Settings

    def bring(self, archive: Path) -> None:
        """Have an image of ours to start from."""
        self._prepare()
        self._buildah("pull", f"docker-archive:{archive}")

    def build(self, image: Image, *, tag: str, context: Path, target: Path) -> None:
        reference = image.reference(tag)
        self._prepare()
        self._bring_base()
        # chroot: no name spaces are needed that a container, in which this may run, can't make.
        self._buildah(
            "bud",
            "--isolation=chroot",
            "--pull-never",
            "--layers",
            "--timestamp=315532800",
            f"--ignorefile={context}/.dockerignore",
            f"--file={context / image.dockerfile}",
            *self._index(image, context=context),
            f"--tag={reference}",
            str(context),
        )
        self._buildah("push", reference, f"docker-archive:{target}:{reference}")

    def _index(self, image: Image, *, context: Path) -> Sequence[str]:
        # How this host reaches an index (a proxy, certificates) isn't known inside the build: pip finds all in a folder there.
        if image.requirements is None:
            return ()
        house = packages.house(context / image.requirements, settings=self.settings)
        reported = self.settings.cache / "images/pip.conf"
        reported.write_text("[global]\nno-index = true\nfind-links = /wheels\n", encoding="utf-8")
        return (f"--volume={house}:/wheels:ro", f"--volume={reported}:/etc/pip.conf:ro")

    def push(self, *, archive: Path, reference: str, destination: str) -> None:
        self._prepare()
        self._buildah("pull", f"docker-archive:{archive}")
        self._buildah("push", reference, f"docker://{destination}")

    def _prepare(self) -> None:
        if os.geteuid() != 0:
            raise ClusterError("building images without a Docker engine needs root: start Docker, or run this as root")
        host.ensure(("buildah",), settings=self.settings)

    def _bring_base(self) -> None:
        base = bases.build(bases.PYTHON, settings=self.settings)
        marker = self.settings.cache / "images/buildah-base"
        present = marker.read_text() if marker.exists() else ""
        if present != base.name:
            self._buildah("pull", f"docker-archive:{base}")
            marker.write_text(base.name)

    def _buildah(self, *args: str) -> str:
        storage = self.settings.cache / "buildah"
        places: Sequence[str] = (f"--root={storage}/root", f"--runroot={storage}/run")
        return commands.run("buildah", *places, *args, timeout=1800)
