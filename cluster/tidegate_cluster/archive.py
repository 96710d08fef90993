"""Writes image archives that containerd and buildah read, for images simple enough to need no builder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(target: Path, *, reference: str, layers: Sequence[bytes | Path], config: Mapping[str, Any]) -> None:
    """Write a docker-archive of layers (tars, uncompressed); complete or not at all."""
    digests = [_digest(layer) for layer in layers]
    machine = platform.machine()
    image = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": config,
        "created": "1980-01-01T00:00:00Z",
        # buildah's layer cache counts on an entry for each layer.
        "history": [{"created": "1980-01-01T00:00:00Z", "created_by": "tidegate"} for _ in layers],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    described = json.dumps(image).encode()
    name = hashlib.sha256(described).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [reference], "Layers": [f"{digest}.tar" for digest in digests]}]
    half = target.with_name(f"{target.name}.half-{os.getpid()}")  # clusters start side by side
    half.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(half, "w") as tar:
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        _add(tar, f"{name}.json", described)
        for digest, layer in zip(digests, layers, strict=True):
            if isinstance(layer, bytes):
                _add(tar, f"{digest}.tar", layer)
            else:
                tar.add(layer, f"{digest}.tar")
    half.replace(target)


def layer_of(files: Mapping[str, Path]) -> bytes:
    """A layer with these programs, by their paths in the image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, source in sorted(files.items()):
            header = tarfile.TarInfo(path.lstrip("/"))
            header.mode = 0o755
            content = source.read_bytes()
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def _digest(layer: bytes | Path) -> str:
    if isinstance(layer, bytes):
        return hashlib.sha256(layer).hexdigest()
    with layer.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))
