"""What is looked up: the packages of uv.lock, those of cluster/locked/, and the files that are vendored for browsers."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VENDORED: Final = "webapp/tidegate_web/pages/static/vendor/vendored.json"


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One version of a package, in the words of OSV."""

    ecosystem: str
    name: str
    version: str


def found_in(checkout: Path) -> list[Component]:
    """All that the repository names a version of."""
    lists = sorted((checkout / "cluster/locked").glob("*.txt"))
    return sorted(
        {
            *_locked((checkout / "uv.lock").read_text(encoding="utf-8")),
            *(one for file in lists for one in _required(file.read_text(encoding="utf-8"))),
            *_vendored((checkout / VENDORED).read_text(encoding="utf-8")),
        }
    )


def _locked(lock: str) -> Iterator[Component]:
    for package in tomllib.loads(lock)["package"]:
        if "registry" in package["source"]:  # else it is one of ours
            yield Component("PyPI", package["name"], package["version"])


def _required(requirements: str) -> Iterator[Component]:
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", requirements, re.MULTILINE):
        yield Component("PyPI", name, version)


def _vendored(manifest: str) -> Iterator[Component]:
    for one in json.loads(manifest).values():
        yield Component("npm", one["package"], one["version"])
