"""Collects each image's Python packages as wheels in the checkout, so that building an image needs no package index."""

from __future__ import annotations

import filecmp
import hashlib
import os
import platform
import shutil
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate_cluster import commands
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings

LOCKED: Final = Path(__file__).resolve().parents[1] / "locked"
"""Files of requirements with versions and hashes, of what uv.lock doesn't hold."""

_PYTHON = "3.13"
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of the workspace with those of its extras that an image needs."""

    package: str
    directory: str
    """Where its pyproject.toml is, from the root of the checkout."""
    extra: str | None
    sources: Sequence[str]
    """Directories whose content goes into its wheel, from the root of the checkout."""


_PLATFORM_SOURCES = ("crds/tidegate_api", "operator/tidegate_operator", "webapp/tidegate_web", "cli/tidegate_cli")

DISTRIBUTIONS: Mapping[str, Distribution] = {
    "operator": Distribution("tidegate-platform", ".", "operator", _PLATFORM_SOURCES),
    "web": Distribution("tidegate-platform", ".", "web", _PLATFORM_SOURCES),
    "runner": Distribution("tidegate", "runner-image", None, ("runner-image/tidegate",)),
}


def collect(image: str, *, checkout: Path, settings: Settings) -> Path:
    """Fill wheels/IMAGE in the checkout with exactly the wheels that the image needs; returns that directory."""
    distribution = DISTRIBUTIONS[image]
    uv = find_uv(settings=settings)
    dependencies = _dependencies(distribution, uv=uv, checkout=checkout, settings=settings)
    target = checkout / "wheels" / image
    _fill(target / "dependencies", [*dependencies, _pip(settings=settings)])
    _fill(target / "own", [_own(distribution, uv=uv, checkout=checkout, settings=settings)])
    return target


def _fill(target: Path, wanted: Sequence[Path]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in wanted}
    for present in target.iterdir():
        if present.name not in names:
            present.unlink()
    for path in wanted:
        if not (target / path.name).exists() or not filecmp.cmp(path, target / path.name, shallow=False):
            shutil.copy2(path, target / path.name)


def find_uv(*, settings: Settings) -> str:
    """uv on PATH, else from PyPI into the cache."""
    on_path = os.environ.get("UV") or shutil.which("uv")
    if on_path:
        return on_path
    uv = _tools(settings=settings) / "uv"
    if not uv.exists():
        print("no uv on PATH: installing it from PyPI", file=sys.stderr, flush=True)
        listed = LOCKED / "uv.txt"
        options = ("--quiet", "--require-hashes", "--only-binary=:all:", f"--requirement={listed}")
        commands.run(uv.with_name("python"), "-m", "pip", "install", *options)
    return str(uv)


def _tools(*, settings: Settings) -> Path:
    """The programs of a virtual environment with pip: this process's own, made by uv, has none."""
    directory = settings.cache / "uv"  # the Makefile keeps its uv there too
    if not (directory / "bin/pip").exists():
        try:
            venv.create(directory, with_pip=True)
        except Exception as error:  # ensurepip missing: Debian splits it into python3-venv
            raise ClusterError("install python3-venv, and try again") from error
    return directory / "bin"


def _dependencies(distribution: Distribution, *, uv: str, checkout: Path, settings: Settings) -> Sequence[Path]:
    if distribution.extra is None:
        return []
    listed = commands.run(
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-emit-workspace",
        "--no-header",
        "--no-annotate",
        f"--package={distribution.package}",
        f"--extra={distribution.extra}",
        f"--python={sys.executable}",
        cwd=checkout,
    )
    what = f"{distribution.package}[{distribution.extra}]"
    return sorted(_downloaded(listed, what=what, settings=settings).glob("*.whl"))


def house(requirements: Path, *, settings: Settings) -> Path:
    """A folder with the wheels of a file of requirements: what pip would fetch, for a build without a package index."""
    return _downloaded(requirements.read_text(encoding="utf-8"), what=f"{requirements.parent.name}", settings=settings)


def _downloaded(listed: str, *, what: str, settings: Settings) -> Path:
    key = hashlib.sha256(f"{_PYTHON} {platform.machine()}\n{listed}".encode()).hexdigest()[:16]
    target = settings.cache / "wheels" / key
    if not target.is_dir():
        print(f"fetching the wheels of {what}", file=sys.stderr, flush=True)
        half = target.with_name(f"{key}.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        requirements = half / "requirements.txt"
        requirements.write_text(listed)
        platforms = [f"--platform={name}_{platform.machine()}" for name in _PLATFORMS]
        commands.run(
            *_pip_command(settings=settings),
            "download",
            "--quiet",
            "--only-binary=:all:",
            "--require-hashes",
            f"--python-version={_PYTHON}",
            "--implementation=cp",
            *platforms,
            f"--dest={half}",
            f"--requirement={requirements}",
            timeout=1800,
        )
        requirements.unlink()
        half.rename(target)
    return target


def _own(distribution: Distribution, *, uv: str, checkout: Path, settings: Settings) -> Path:
    directory = checkout / distribution.directory
    digest = hashlib.sha256((directory / "pyproject.toml").read_bytes() + (LOCKED / "build.txt").read_bytes())
    for source in distribution.sources:
        for file in sorted((checkout / source).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"\0{file.relative_to(checkout)}\0".encode() + file.read_bytes())
    target = settings.cache / "wheels" / f"own-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        half = target.with_name(f"{target.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # the same wheel for the same sources
        # Its build backend too is none but that which is recorded.
        locked = ("--require-hashes", f"--build-constraints={LOCKED / 'build.txt'}")
        commands.run(uv, "build", "--quiet", "--wheel", *locked, f"--out-dir={half}", directory, env=environment)
        half.rename(target)
    return next(iter(sorted(target.glob("*.whl"))))


def _pip(*, settings: Settings) -> Path:
    # An image's Python may have no pip (Debian's) or one to be left out: a wheel of pip can be run as it is.
    listed = (LOCKED / "pip.txt").read_text(encoding="utf-8")
    return next(iter(_downloaded(listed, what="pip", settings=settings).glob("pip-*.whl")))


def _pip_command(*, settings: Settings) -> Sequence[str]:
    return (str(_tools(settings=settings) / "python"), "-m", "pip", "--disable-pip-version-check")
