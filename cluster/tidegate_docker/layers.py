"""A layer of an image as a tar on disk: what a node image holds is too large for memory."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Self


class Layer:
    """Written part by part; the same parts make the same bytes."""

    def __init__(self, target: Path) -> None:
        self._tar = tarfile.open(target, "w")  # noqa: SIM115 (closed by __exit__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def file(self, path: str, source: Path, *, mode: int) -> None:
        """A file of the host."""
        header = tarfile.TarInfo(path)
        header.mode, header.size = mode, source.stat().st_size
        with source.open("rb") as content:
            self._tar.addfile(header, content)

    def text(self, path: str, content: str) -> None:
        """A file with this text."""
        header = tarfile.TarInfo(path)
        encoded = content.encode()
        header.mode, header.size = 0o644, len(encoded)
        self._tar.addfile(header, io.BytesIO(encoded))

    def link(self, path: str, *, to: str) -> None:
        """A symbolic link."""
        header = tarfile.TarInfo(path)
        header.type, header.linkname = tarfile.SYMTYPE, to
        self._tar.addfile(header)

    def directory(self, path: str) -> None:
        """An empty directory."""
        header = tarfile.TarInfo(path)
        header.type, header.mode = tarfile.DIRTYPE, 0o755
        self._tar.addfile(header)
