"""Writes image archives that containerd and buildah read, for images simple enough to need no builder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive."""

    reference: str
    layers: Sequence[bytes | Path]
    """Tars, uncompressed."""
    config: Mapping[str, Any]


def write(target: Path, *, reference: str, layers: Sequence[bytes | Path], config: Mapping[str, Any]) -> None:
    """Write a docker-archive of one image; complete or not at all."""
    write_all(target, [Image(reference=reference, layers=layers, config=config)])


def write_all(target: Path, images: Sequence[Image]) -> None:
    """Write a docker-archive of several images; a layer that they share is in it once."""
    machine = platform.machine()
    layers: dict[str, bytes | Path] = {}
    configs: dict[str, bytes] = {}
    manifest = []
    for image in images:
        digests = [_digest(layer) for layer in image.layers]
        layers.update(zip(digests, image.layers, strict=True))
        described = json.dumps(
            {
                "architecture": _ARCHITECTURES.get(machine, machine),
                "os": "linux",
                "config": image.config,
                "created": "1980-01-01T00:00:00Z",
                # buildah's layer cache counts on an entry for each layer.
                "history": [{"created": "1980-01-01T00:00:00Z", "created_by": "tidegate"} for _ in digests],
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            }
        ).encode()
        name = f"{hashlib.sha256(described).hexdigest()}.json"
        configs[name] = described
        manifest.append({"Config": name, "RepoTags": [image.reference], "Layers": [f"{d}.tar" for d in digests]})
    half = target.with_name(f"{target.name}.half-{os.getpid()}")  # clusters start side by side
    half.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(half, "w") as tar:
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        for name, described in configs.items():
            _add(tar, name, described)
        for digest, layer in layers.items():
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
