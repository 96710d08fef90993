"""`tidegate exec`: a function of a file, run here by the library's own runner, with the files and variables of a pod."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from tidegate_cli import output
from tidegate_cli.backends.base import Json
from tidegate_cli.errors import INTERRUPTED, MISUSED, CommandError
from tidegate_cli.options import with_payload

RESULT_MAX_BYTES: Final = 4096
_LOOK: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tidegate') is None)"


@click.command("exec")
@click.argument("function", metavar="FILE:FUNCTION")
@with_payload
@click.option("--python", metavar="PROGRAM", help="The Python to run it with; else the active virtual environment's, else the command's own.")  # fmt: skip
def execute(function: str, *, payload: Json | None, python: str | None) -> int:
    """Run a task here, as a pod would: task.py:resize, or package.module:resize.

    What it prints goes to stderr, its result to stdout; the exit code is the runner's: 0, 1 for a failure, 64 for one that is
    never retried, 65 for one that is to be retried later. Interrupting it is what cancelling is in a cluster.
    """
    entrypoint, folder = _entrypoint(function)
    program = python or _python(os.environ)
    _check_library(program, folder)
    with tempfile.TemporaryDirectory(prefix="tidegate-exec-") as name:
        files = Path(name)
        (files / "payload.json").write_text(json.dumps(payload or {}), encoding="utf-8")
        environment = _environment(os.environ, files, entrypoint=entrypoint, folder=folder)
        code = _run([program, "-m", "tidegate", entrypoint], environment)
        if code == 0 and (files / "result").exists():
            output.console().out((files / "result").read_text(encoding="utf-8"), highlight=False)
    return code


def _entrypoint(function: str) -> tuple[str, Path | None]:
    """`package.module:function`, and the folder that a file is in."""
    module, _, name = function.rpartition(":")
    if not module or not name:
        raise CommandError(f"{function!r} must look like task.py:function or package.module:function", code=MISUSED)
    if not module.endswith(".py"):
        return function, None
    file = Path(module)
    if not file.is_file():
        raise CommandError(f"there is no file {file}", code=MISUSED)
    if not file.stem.isidentifier():
        raise CommandError(f"{file} can't be imported: call it by letters, digits and _ alone", code=MISUSED)
    return f"{file.stem}:{name}", file.resolve().parent


def _python(environment: Mapping[str, str]) -> str:
    active = environment.get("VIRTUAL_ENV")
    return f"{active}/bin/python" if active and Path(active, "bin/python").exists() else sys.executable


def _check_library(program: str, folder: Path | None) -> None:
    try:
        found = subprocess.run([program, "-c", _LOOK], cwd=folder, capture_output=True, check=False).returncode == 0
    except OSError as error:
        raise CommandError(f"{program} can't be run: {error.strerror}") from error
    if not found:
        raise CommandError(f"{program} has no library tidegate: {program} -m pip install tidegate, or name another with --python")  # fmt: skip


def _environment(outer: Mapping[str, str], files: Path, *, entrypoint: str, folder: Path | None) -> dict[str, str]:
    # Nothing of the command's own: with an address and a key in sight a task would do otherwise than in a pod.
    kept = {name: value for name, value in outer.items() if not name.startswith("TIDEGATE_")}
    paths = [str(folder)] if folder else []
    if outer.get("PYTHONPATH"):
        paths.append(outer["PYTHONPATH"])
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "TIDEGATE_PAYLOAD_FILE": str(files / "payload.json"),
        "TIDEGATE_RESULT_FILE": str(files / "result"),
        "TIDEGATE_RESULT_MAX_BYTES": str(RESULT_MAX_BYTES),
        "TIDEGATE_RUN": "local",
        "TIDEGATE_NAMESPACE": "local",
        "TIDEGATE_TASK": entrypoint.rpartition(":")[2],
        "TIDEGATE_ATTEMPT": "1",
        "TIDEGATE_MAX_ATTEMPTS": "1",
        "TIDEGATE_QUEUE": "default",
    }


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    # In a session of its own: an interrupt reaches it as SIGTERM, as in a pod, and not as SIGINT from the terminal.
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.kill()
            process.wait()
        raise CommandError("interrupted", code=INTERRUPTED) from None
    return code if code >= 0 else 128 - code
