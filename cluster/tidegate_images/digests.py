"""Which build of a public image a release starts from: a tag may name another tomorrow, a digest never does.

The digests are in digests.json, which `make bases` renews. Only Docker pulls a base; without it the base is made from Debian's
signed packages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegate_cluster.errors import ClusterError

FILE: Final = Path(__file__).with_name("digests.json")


def read(file: Path = FILE) -> Mapping[str, str]:
    """The recorded digests by reference."""
    recorded: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return recorded


def write(digests: Mapping[str, str], file: Path = FILE) -> None:
    """Record digests in place of those that were there."""
    file.write_text(json.dumps(dict(digests), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def pinned(reference: str, *, digests: Mapping[str, str], release: bool) -> str:
    """What a build with Docker starts from. A build that is pushed needs a digest; another one may do with the tag."""
    digest = digests.get(reference)
    if digest is not None:
        return f"{reference}@{digest}"
    if release:
        raise ClusterError(
            f"{reference} has no digest in {FILE.name}, and a build that is pushed needs it: run `make bases`"
        )
    return reference
