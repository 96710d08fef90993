"""The runner as a pod runs it: a process with a module of tasks, a payload file, a result file and an exit code."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.environment import coverage_variables

RUNNER = Path(__file__).resolve().parents[2] / "runner-image"

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def interpreter(version: str) -> str | None:
    """A Python of this version, on PATH or from pyenv."""
    found = sorted(PYENV.glob(f"versions/{version}.*/bin/python"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


@dataclass(frozen=True)
class Ended:
    code: int
    result: str
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.result)


@dataclass(frozen=True)
class RunnerPod:
    folder: Path
    tasks: str
    python: str = sys.executable

    def start(self, entrypoint: str, payload: object = None, **env: str) -> subprocess.Popen[str]:
        (self.folder / "tasks.py").write_text(self.tasks, encoding="utf-8")
        (self.folder / "payload.json").write_text(json.dumps({} if payload is None else payload), encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            **coverage_variables(),
            "PYTHONPATH": str(RUNNER),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TIDEGATE_PAYLOAD_FILE": str(self.folder / "payload.json"),
            "TIDEGATE_RESULT_FILE": str(self.folder / "result"),
            **env,
        }
        return subprocess.Popen(
            [self.python, "-m", "tidegate", entrypoint],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, entrypoint: str, payload: object = None, **env: str) -> Ended:
        return self.ended(self.start(entrypoint, payload, **env))

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        out, err = process.communicate(timeout=120)
        result = self.folder / "result"
        return Ended(process.returncode, result.read_text(encoding="utf-8") if result.exists() else "", out, err)
