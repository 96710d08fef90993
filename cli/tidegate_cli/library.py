"""The Python that has the library `tidegate`, which is another one than the command's: that of the project with the tasks."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from tidegate_cli.errors import MISUSED, CommandError

_LOOK: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tidegate') is None)"

python_option = click.option(
    "--python",
    metavar="PROGRAM",
    help="The Python that has the task's packages; else the active virtual environment's, else the command's own.",
)


def find_python(named: str | None, environment: Mapping[str, str], *, folder: Path | None) -> str:
    """The program, when it has the library."""
    active = environment.get("VIRTUAL_ENV")
    theirs = f"{active}/bin/python" if active and Path(active, "bin/python").exists() else sys.executable
    program = named or theirs
    path = {**environment, **search_path(environment, folder)}
    try:
        found = subprocess.run([program, "-c", _LOOK], env=path, capture_output=True, check=False).returncode == 0
    except OSError as error:
        raise CommandError(f"{program} can't be run: {error.strerror}") from error
    if not found:
        raise CommandError(f"{program} has no library tidegate: {program} -m pip install tidegate, or name another with --python")  # fmt: skip
    return program


def module_of(named: str) -> tuple[str, Path | None]:
    """The module that `task.py` or `package.module` is, and the folder that a file is in."""
    if not named.endswith(".py"):
        return named, None
    file = Path(named)
    if not file.is_file():
        raise CommandError(f"there is no file {file}", code=MISUSED)
    if not file.stem.isidentifier():
        raise CommandError(f"{file} can't be imported: call it by letters, digits and _ alone", code=MISUSED)
    return file.stem, file.resolve().parent


def search_path(environment: Mapping[str, str], folder: Path | None) -> dict[str, str]:
    """Where modules are looked for: the file's folder first."""
    paths = [str(folder)] if folder else []
    if environment.get("PYTHONPATH"):
        paths.append(environment["PYTHONPATH"])
    return {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
