"""What `tidegate login` keeps: an address and a key, in a file that no other user may read."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate_cli.errors import CommandError


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where, as whom, and in which project unless another is named."""

    url: str
    key: str
    project: str | None = None


def path(environment: Mapping[str, str]) -> Path:
    """`TIDEGATE_LOGIN_FILE`, else a file in the user's folder of settings."""
    if named := environment.get("TIDEGATE_LOGIN_FILE"):
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '~')}/.config"
    return Path(base).expanduser() / "tidegate/login.json"


def read(file: Path) -> Login | None:
    """None without a login. A key that others could read is taken for stolen."""
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise CommandError(
                    f"{file} can be read by others (mode {mode:04o}): chmod 600 {file}, better make a new key"
                )
            found = json.load(opened)
        return Login(url=found["url"], key=found["key"], project=found.get("project"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{file} can't be read ({error}): tidegate login writes it again") from error


def write(file: Path, login: Login) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    half = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(asdict(login), opened)
        half.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink()
        raise CommandError(f"{file} can't be written: {error.strerror}") from error


def forget(file: Path) -> bool:
    """Whether there was one."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CommandError(f"{file} can't be removed: {error.strerror}") from error
    return True
