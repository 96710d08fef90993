"""Root file systems from Debian's packages, by way of the mirror that this host already uses."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tidegate_cluster import commands, host
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings

from . import keeping

_SUITE = "trixie"
_TOOLS = ("debian-archive-keyring", "mmdebstrap")
# What no container reads. Copyrights stay.
_EXCLUDED = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*", "/usr/share/doc/*")
# The mirror is this host's, not that of the image's user.
_FORGOTTEN = "--customize-hook=rm -rf $1/etc/apt/sources.list* $1/var/lib/apt/lists/* $1/var/cache/* $1/var/log/*"
_INCLUDED = ("/usr/share/doc/*/copyright",)


@dataclass(frozen=True, slots=True)
class RootFilesystem:
    """What is in one."""

    name: str
    variant: str
    packages: Sequence[str]
    hooks: Sequence[str] = ()
    """Options of mmdebstrap that change it before it is packed."""
    suite: str = _SUITE

    @property
    def key(self) -> str:
        described = json.dumps(
            [self.variant, list(self.packages), list(self.hooks), _FORGOTTEN, self.suite, _EXCLUDED, os.uname().machine]
        )
        return hashlib.sha256(described.encode()).hexdigest()[:16]


def build(wanted: RootFilesystem, *, settings: Settings) -> Path:
    """The tar of a root file system, made unless the cache has it."""
    target = settings.cache / "images" / "roots" / f"{wanted.name}-{wanted.key}.tar"
    if target.exists():
        return target
    if os.geteuid() != 0:
        raise ClusterError("building base images without a Docker engine needs root: run this again as root")
    host.ensure(_TOOLS, settings=settings)
    started = time.monotonic()
    print(f"making {wanted.name} from Debian {wanted.suite}", file=sys.stderr, flush=True)
    half = target.with_name(f"{target.stem}.half.tar")
    half.parent.mkdir(parents=True, exist_ok=True)
    excluded = [f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED]
    included = [f"--dpkgopt=path-include={path}" for path in _INCLUDED]
    packages = f"--include={','.join(wanted.packages)}"
    options = [f"--variant={wanted.variant}", packages, *excluded, *included, *wanted.hooks, _FORGOTTEN]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    command = ["mmdebstrap", "--quiet", *options, wanted.suite, str(half), *sources(wanted.suite)]
    try:
        commands.run(*command, env=environment, timeout=1800)
    except ClusterError as error:
        half.unlink(missing_ok=True)
        raise ClusterError(f"can't make {wanted.name} from Debian packages: {error}") from error
    half.replace(target)
    keeping.prune(target)
    print(f"  made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return target


def sources(suite: str = _SUITE) -> Sequence[str]:
    """The lines of apt that packages come from."""
    mirrors = _host_mirrors()
    chosen = os.environ.get("TIDEGATE_DEBIAN_MIRROR") or next(iter(mirrors), None)
    if not chosen:
        raise ClusterError("this host's apt knows no Debian mirror: set TIDEGATE_DEBIAN_MIRROR to the URL of one")
    security = [uri for uri in _host_mirrors(security=True) if not os.environ.get("TIDEGATE_DEBIAN_MIRROR")]
    return [
        f"deb {chosen} {suite} main",
        *(f"deb {uri} {suite}-security main" for uri in security[:1]),
    ]


def _host_mirrors(*, security: bool = False) -> Sequence[str]:
    listed = commands.run("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages")
    found = []
    for line in listed.splitlines():
        uri, _, component = line.partition(" ")
        name = urlsplit(uri).path.rstrip("/").rpartition("/")[2]
        if component == "main" and name == ("debian-security" if security else "debian") and uri not in found:
            found.append(uri)
    return found
