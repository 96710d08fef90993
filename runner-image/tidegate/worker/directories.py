"""A run's directory: payload, token and result, its working directory, and the one for temporary files.

Other runs of the pool may write here too, as they have the same user: names are opened without following links, and a
result is read only from a regular file.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import stat
from typing import NamedTuple, Optional

from tidegate.worker.protocol import Json

MOST_RESULT_BYTES = 128 * 1024
_FILES = ("payload.json", "token", "token.new", "result")
_FOLDERS = ("work", "tmp")


class Result(NamedTuple):
    """What a result file has."""

    data: bytes
    too_large: bool


def create(path: str, payload: Json, token: Optional[str]) -> None:
    """Make the directory of a run. OSError when that can't be done."""
    os.mkdir(path, 0o700)
    for folder in _FOLDERS:
        os.mkdir(f"{path}/{folder}", 0o700)
    _write(f"{path}/payload.json", json.dumps(payload))
    if token is not None:
        _write(f"{path}/token", token)


def replace_token(path: str, token: str) -> None:
    """Renew the token, so that a reader finds the old or the new one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}/token.new")
    _write(f"{path}/token.new", token)
    os.replace(f"{path}/token.new", f"{path}/token")


def read_result(path: str) -> Result:
    """The result file, as far as the contract keeps it."""
    try:
        # Without waiting: the run may have put a pipe here.
        descriptor = os.open(f"{path}/result", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Result(b"", False)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Result(b"", False)
        if found.st_size > MOST_RESULT_BYTES:
            return Result(b"", True)
        return Result(os.read(descriptor, MOST_RESULT_BYTES), False)
    except OSError:
        return Result(b"", False)
    finally:
        os.close(descriptor)


def remove_if_small(path: str) -> bool:
    """Remove the directory of a run that has left nothing in it; whether it is gone."""
    for name in _FILES:
        with contextlib.suppress(OSError):
            os.unlink(f"{path}/{name}")
    try:
        for name in _FOLDERS:
            os.rmdir(f"{path}/{name}")
        os.rmdir(path)
    except OSError:
        return not os.path.lexists(path)
    return True


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, however deep it is. What is below is moved up, not descended into."""
    with contextlib.suppress(NotADirectoryError, FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return os.unlink(path)
        os.chmod(path, 0o700)
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            numbers = itertools.count()
            while _remove_entries(top, numbers):
                pass
        finally:
            os.close(top)
        os.rmdir(path)
    return None


def _remove_entries(top: int, numbers: itertools.count[int]) -> int:
    """Remove what is directly in a directory; how many entries of folders were moved up."""
    moved = 0
    for name in os.listdir(top):
        try:
            os.unlink(name, dir_fd=top)
            continue
        except (IsADirectoryError, PermissionError):
            pass
        try:
            os.rmdir(name, dir_fd=top)
            continue
        except OSError:
            pass
        os.chmod(name, 0o700, dir_fd=top)
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        try:
            for inner in os.listdir(folder):
                moved += 1
                os.rename(inner, f".removed-{os.getpid()}-{next(numbers)}", src_dir_fd=folder, dst_dir_fd=top)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)
    return moved


def _write(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
