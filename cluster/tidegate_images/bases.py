"""The public images that the chart and our own images name, rebuilt from Debian for hosts that can't pull them.

They answer to the same variables and arguments, and run as any user.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate_cluster import archive
from tidegate_cluster.settings import Settings

from . import busybox, debian, keeping
from .debian import RootFilesystem

_FORMAT = 2  # of the archives; another number makes all of them again
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Base:
    """One public image."""

    reference: str
    root: RootFilesystem
    config: Mapping[str, Any]
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Paths in the image with files in entrypoints/."""
    repack: Callable[[Path], bytes] | None = None
    """Makes the layer from the root file system, if that isn't the layer itself."""


def _user(name: str, *, home: str) -> str:
    # Before the packages: they take a user that is there, and the official images number theirs 999.
    passwd = f"echo {name}:x:999:999::{home}:/bin/sh >>$1/etc/passwd"
    return f"--essential-hook={passwd}; echo {name}:x:999: >>$1/etc/group"


PYTHON = Base(
    reference="docker.io/library/python:3.13-slim",
    root=RootFilesystem(
        name="python",
        variant="essential",
        packages=("ca-certificates", "libstdc++6", "media-types", "netbase", "python3", "python3-pip", "tzdata"),
        hooks=(
            # The official image has its Python here, and `python` too.
            "--customize-hook=for name in python python3 python3.13; do ln -s ../../bin/python3 $1/usr/local/bin/$name; done",
        ),
    ),
    config={"Cmd": ["python3"], "Env": [_PATH, "LANG=C.UTF-8"]},
)

POSTGRES = Base(
    reference="docker.io/library/postgres:17",
    root=RootFilesystem(
        name="postgres",
        variant="essential",
        packages=("libnss-wrapper", "postgresql-17", "tzdata"),
        hooks=(
            _user("postgres", home="/var/lib/postgresql"),
            "--skip=cleanup/run",  # the directory of its socket
            "--essential-hook=mkdir -p $1/etc/postgresql-common",
            "--essential-hook=echo create_main_cluster=false >$1/etc/postgresql-common/createcluster.conf",
            "--customize-hook=rm -rf $1/var/lib/postgresql/* $1/docker-entrypoint-initdb.d",
            # Compiling queries is of no use to ours, and its libraries are half the image.
            "--customize-hook=cd $1/usr/lib && rm -rf postgresql/*/lib/llvmjit* postgresql/*/lib/bitcode */libLLVM* */libz3*",
            # Open to all, as in the official image; but Postgres wants to own its data, so others mount some of theirs.
            "--customize-hook=install -d -m 1777 -o 999 -g 999 $1/var/lib/postgresql/data $1/run/postgresql",
            "--customize-hook=install -d $1/docker-entrypoint-initdb.d",
        ),
    ),
    scripts={"/usr/local/bin/docker-entrypoint.sh": "postgres.sh"},
    config={
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["postgres"],
        "User": "999:999",
        "Env": [_PATH, "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data"],
        "ExposedPorts": {"5432/tcp": {}},
        "StopSignal": "SIGINT",
        "Volumes": {"/var/lib/postgresql/data": {}},
    },
)

REDIS = Base(
    reference="docker.io/library/redis:8",
    root=RootFilesystem(
        name="redis",
        variant="essential",
        packages=("redis-server", "tzdata"),
        hooks=(_user("redis", home="/data"), "--customize-hook=install -d -m 1777 $1/data"),
    ),
    scripts={"/usr/local/bin/docker-entrypoint.sh": "redis.sh"},
    config={
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["redis-server"],
        "User": "999:999",
        "Env": [_PATH],
        "ExposedPorts": {"6379/tcp": {}},
        "WorkingDir": "/data",
        "Volumes": {"/data": {}},
    },
)

BUSYBOX = Base(
    reference="docker.io/library/busybox:1.37",
    root=RootFilesystem(name="busybox", variant="extract", packages=("busybox",)),
    repack=busybox.layer,
    config={"Cmd": ["sh"], "Env": [_PATH]},
)

ALL: Mapping[str, Base] = {"python": PYTHON, "postgres": POSTGRES, "redis": REDIS, "busybox": BUSYBOX}


def key(base: Base) -> str:
    """Names the image by all that goes into it."""
    digest = hashlib.sha256(json.dumps([_FORMAT, base.reference, base.root.key, base.config]).encode())
    for path, file in sorted(_scripts(base).items()):
        digest.update(path.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def build(base: Base, *, settings: Settings) -> Path:
    """The image archive of a public image, made unless the cache has it."""
    target = settings.cache / "images" / f"{base.root.name}-{key(base)}.tar"
    if not target.exists():
        root = debian.build(base.root, settings=settings)
        layers: list[bytes | Path] = [base.repack(root) if base.repack else root]
        if base.scripts:
            layers.append(archive.layer_of(_scripts(base)))
        archive.write(target, reference=base.reference, layers=layers, config=base.config)
        keeping.prune(target)
    return target


def _scripts(base: Base) -> Mapping[str, Path]:
    return {path: Path(__file__).with_name("entrypoints") / file for path, file in base.scripts.items()}
