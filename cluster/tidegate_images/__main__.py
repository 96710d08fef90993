"""The command line: `python3 -m tidegate_images --help`."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidegate_cluster import clusters, host, locks, settings
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings

from . import bases, builders, digests, registry, wheels
from .builders import Image

INSTALL = ("cluster/tidegate_images/install.sh",)
_OURS: Mapping[str, Image] = {
    "operator": Image(name="operator", dockerfile="operator/Dockerfile", sources=INSTALL, by_content=True),
    "web": Image(name="web", dockerfile="webapp/Dockerfile", sources=INSTALL, by_content=True),
    "runner": Image(name="runner", dockerfile="runner-image/Dockerfile", sources=(*INSTALL, "runner-image/pip.sh")),
    "examples": Image(
        name="examples",
        dockerfile="examples/Dockerfile",
        base="runner",
        sources=("examples/requirements.txt", "examples/*/*.py"),
        requirements="examples/requirements.txt",
    ),
}
# What is loaded into a cluster that can't pull; the Python base is only built on.
_PUBLIC = ("postgres", "redis", "busybox")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what people can put right is one line of error."""
    parser = argparse.ArgumentParser(prog="tidegate_images", description=sys.modules["tidegate_images"].__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    one = subcommands.add_parser("build", help="build what is not in the cache; prints the archives")
    one.add_argument("--only", nargs="+", choices=[*_OURS, *_PUBLIC], metavar="IMAGE", help="these alone")
    one.add_argument("--load", metavar="NAME", help="load them into this cluster")
    one.add_argument("--push", metavar="PREFIX", help="push ours as PREFIX/tidegate/IMAGE:TAG")
    one.add_argument("--digests", type=Path, default=digests.FILE, metavar="FILE", help="of the public images")
    collect = subcommands.add_parser("wheels", help="fill wheels/ for a docker build by hand")
    collect.add_argument("--only", nargs="+", choices=[*wheels.DISTRIBUTIONS], metavar="IMAGE")
    renew = subcommands.add_parser("bases", help="record the digests of the public images that ours start from")
    renew.add_argument("--mirror", metavar="URL", help="ask this registry in place of the one that the image names")
    renew.add_argument("--file", type=Path, default=digests.FILE, metavar="FILE", help="where they are recorded")
    given = parser.parse_args(arguments)
    try:
        found = settings.from_environment()
        with locks.locked(found.locks / "images.lock", waiting_for="another build of images"):
            if given.command == "bases":
                _renew_bases(file=given.file, mirror=given.mirror)
            elif given.command == "wheels":
                for name in given.only or wheels.DISTRIBUTIONS:
                    print(wheels.collect(name, checkout=checkout(), settings=found))
            else:
                _build(given, found)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def checkout() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[2]


def version() -> str:
    """The version that images are tagged with."""
    with (checkout() / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _build(given: argparse.Namespace, found: Settings) -> None:
    docker = host.docker_answers()
    archives = build(
        only=given.only,
        settings=found,
        docker=docker,
        release=given.push is not None,
        recorded=digests.read(given.digests),
    )
    for path in archives.values():
        print(path)
    if given.load:
        clusters.Clusters(settings=found).load(given.load, list(archives.values()))
    if given.push:
        builder = builders.Docker() if docker else builders.Buildah(settings=found)
        for name in archives.keys() & _OURS.keys():
            tag = builders.tag_of(_OURS[name], archives[name], version=version())
            # The version alone too: it is what people pull by hand, and what the chart takes when it is given no tags.
            for pushed in dict.fromkeys((tag, version())):
                destination = f"{given.push.rstrip('/')}/tidegate/{name}:{pushed}"
                builder.push(archive=archives[name], reference=_OURS[name].reference(tag), destination=destination)
                print(f"pushed {destination}", file=sys.stderr)
    if not tags(archives):
        return
    values = checkout() / "build/images.yaml"
    values.parent.mkdir(exist_ok=True)
    values.write_text(chart_values(tags(archives), registry=given.push), encoding="utf-8")
    print(f"helm values of these builds: {values.relative_to(checkout())}", file=sys.stderr)


def _renew_bases(*, file: Path, mirror: str | None) -> None:
    reference = bases.PYTHON.reference
    digest = registry.digest_of(reference, mirror=mirror)
    digests.write({reference: digest}, file)
    print(f"{reference}@{digest}")


def tags(archives: Mapping[str, Path]) -> Mapping[str, str]:
    """The tags of the builds that the chart's own pods run."""
    return {
        name: builders.tag_of(_OURS[name], archive, version=version())
        for name, archive in archives.items()
        if name in _OURS and _OURS[name].by_content
    }


def chart_values(found: Mapping[str, str], *, registry: str | None) -> str:
    """The builds as a file of Helm values, so that an upgrade replaces what has changed and nothing else."""
    lines = ["# Written by `make images`: the builds that it has just made.", "image:"]
    lines += [f"  registry: {registry.rstrip('/')}"] if registry else []
    lines += ["  tags:", *(f"    {name}: {tag}" for name, tag in sorted(found.items()))]
    return "\n".join(lines) + "\n"


def build(
    *,
    only: Sequence[str] | None = None,
    settings: Settings,
    docker: bool,
    release: bool = False,
    recorded: Mapping[str, str] | None = None,
) -> Mapping[str, Path]:
    """Archives by image; without Docker those of the public images too, with Docker the cluster pulls these itself.

    A release starts from a base of a known digest, or isn't built. `recorded`: digests in place of those in the file.
    """
    known = digests.read() if recorded is None else recorded
    public_base = digests.pinned(bases.PYTHON.reference, digests=known, release=release and docker)
    wanted = only or (*_OURS, *(() if docker else _PUBLIC))
    archives = {}
    for name in wanted:
        if name in _OURS:
            archives[name] = _build_ours(name, public_base=public_base, settings=settings, docker=docker)
        else:
            archives[name] = bases.build(bases.ALL[name], settings=settings)
    return archives


def _build_ours(name: str, *, public_base: str, settings: Settings, docker: bool) -> Path:
    image = _OURS[name]
    return builders.build(
        image,
        version=version(),
        context=checkout(),
        wheels=None if image.base else wheels.collect(name, checkout=checkout(), settings=settings),
        base=_build_ours(image.base, public_base=public_base, settings=settings, docker=docker) if image.base else None,
        public_base=public_base,
        settings=settings,
        docker=docker,
    )


if __name__ == "__main__":
    sys.exit(main())
