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
from tidegate_api.bodies import JsonObject

from tidegate_cli import output
from tidegate_cli.errors import INTERRUPTED, MISUSED, CommandError
from tidegate_cli.library import find_python, module_of, python_option, search_path
from tidegate_cli.options import with_payload

RESULT_MAX_BYTES: Final = 4096


@click.command("exec")
@click.argument("function", metavar="FILE:FUNCTION")
@with_payload
@python_option
def execute(function: str, *, payload: JsonObject | None, python: str | None) -> int:
    """Run a task here, as a pod would: task.py:resize, or package.module:resize.

    What it prints goes to stderr, its result to stdout; the exit code is the runner's: 0, 1 for a failure, 64 for one that is
    never retried, 65 for one that is to be retried later. Interrupting it is what cancelling is in a cluster.
    """
    entrypoint, folder = _entrypoint(function)
    program = find_python(python, os.environ, folder=folder)
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
    module, folder = module_of(module)
    return f"{module}:{name}", folder


def _environment(outer: Mapping[str, str], files: Path, *, entrypoint: str, folder: Path | None) -> dict[str, str]:
    # Nothing of the command's own: with an address and a key in sight a task would do otherwise than in a pod.
    kept = {name: value for name, value in outer.items() if not name.startswith("TIDEGATE_")}
    return (
        kept
        | search_path(outer, folder)
        | {
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
    )


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
