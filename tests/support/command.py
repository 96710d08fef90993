"""The command `tidegate` as people start it: a process with a shell's environment, output and an exit code."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.servers import wait_until


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def fault(self) -> str:
        """The one line that it failed with."""
        assert self.code, self.out
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("tidegate: "), self.err
        return self.err.removeprefix("tidegate: ").rstrip("\n")


class Command:
    """`tidegate` with the variables of one user, and a home folder of their own."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **variables}

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """Run it to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "tidegate_cli", *arguments],
            env=self.environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def ok(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """The same, and it has to succeed."""
        ended = self(*arguments, stdin=stdin, **variables)
        assert ended.code == 0, ended.err
        return ended

    def start(self, *arguments: str, **variables: str) -> "Running":
        """Start it, and leave it to itself."""
        out, err = self.home / "stdout", self.home / "stderr"
        with out.open("wb") as to, err.open("wb") as to_err:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidegate_cli", *arguments],
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=to,
                stderr=to_err,
            )
        return Running(process, out, err)


class Running:
    """A command that goes on."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: Path, err: Path) -> None:
        self._process, self._out, self._err = process, out, err

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def has_said(self, text: str) -> "Running":
        """Wait until it has printed this."""
        wait_until(lambda: text in self._said(), what=f"{text!r} from the command: {self._said()}")
        return self

    def interrupt(self) -> "Running":
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        return self

    def ended(self) -> Ended:
        """How it ended."""
        code = self._process.wait(30)
        return Ended(code=code, out=self._out.read_text(), err=self._err.read_text())

    def _said(self) -> str:
        return self._out.read_text() + self._err.read_text()
