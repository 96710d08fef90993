"""The command `tidegate` as people start it: a process with a shell's environment, output and an exit code."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import fork_server
from support.environment import coverage_variables
from support.servers import wait_until

STARTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from tidegate_cli.__main__ import run
run()
"""
"""Signals mean what they do in a shell, also where the tests run in the background or under nohup."""
ON_TERMINAL = f"""
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
{STARTED}
"""
"""The terminal is the session's own, as of a login: when it goes, the command gets a SIGHUP."""


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
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **coverage_variables(),
            **variables,
        }

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """Run it to its end, which is never a traceback."""
        ended = self.run(*arguments, stdin=stdin, **variables)
        assert "Traceback" not in ended.err, ended.err
        return ended

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """The same where a task may write one."""
        done = fork_server.run_to_end(
            fork_server.COMMAND, ["-m", "tidegate_cli", *arguments], env=self.environment | variables, stdin=stdin
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def ok(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        """The same, and it has to succeed."""
        ended = self(*arguments, stdin=stdin, **variables)
        assert ended.code == 0, ended.err
        return ended

    def completed(self, line: str, **variables: str) -> list[str]:
        """What a shell offers for the last word of a line, which may be empty; never a word of what went wrong."""
        words = {"_TIDEGATE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        ended = self.ok(**words | variables)
        assert ended.err == ""
        return [entry.partition(",")[2] for entry in ended.out.split()]

    def completes(self, line: str, names: list[str]) -> None:
        """The same, and these it has to be; on a busy machine names may take longer than a shell waits."""
        wait_until(lambda: sorted(self.completed(line)) == names, what=f"{names} for {line!r}")

    def start(self, *arguments: str, **variables: str) -> "Running":
        """Start it, and leave it to itself."""
        out, err = self.home / "stdout", self.home / "stderr"
        with out.open("wb") as to, err.open("wb") as to_err:
            process = fork_server.start(
                fork_server.COMMAND,
                ["-c", STARTED, *arguments],
                env=self.environment | variables,
                stdout=to,
                stderr=to_err,
            )
        return Running(process, out, err)

    def on_terminal(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run it where people see it; the exit code and all that it has written there."""
        with self.start_on_terminal(*arguments, **variables) as terminal:
            return terminal.ended()

    def start_on_terminal(self, *arguments: str, **variables: str) -> "OnTerminal":
        """Start it where people see it."""
        master, terminal = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", ON_TERMINAL, *arguments],
                env=self.environment | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"} | variables,
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
            )
        finally:
            os.close(terminal)
        return OnTerminal(process, master)


class Running:
    """A command that goes on."""

    def __init__(self, process: fork_server.Program, out: Path, err: Path) -> None:
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

    def has_made(self, file: Path) -> "Running":
        """Wait until there is this file."""
        wait_until(file.exists, what=f"{file} of the command: {self._said()}")
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


class OnTerminal:
    """A command that goes on where people see it."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self._process, self._master, self._written = process, master, b""

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def has_shown(self, text: str) -> "OnTerminal":
        """Wait until this stands there."""
        while text not in self._written.decode(errors="replace"):
            assert self._read(), f"{text!r} wasn't shown: {self._written!r}"
        return self

    def signal(self, number: int) -> "OnTerminal":
        self._process.send_signal(number)
        return self

    def hang_up(self) -> "OnTerminal":
        """The window is closed."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
        return self

    def ended(self) -> tuple[int, str]:
        """The exit code, and all that was shown."""
        while self._master >= 0 and self._read():
            pass
        return self._process.wait(30), self._written.decode()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 30)
        assert ready, f"nothing more is shown: {self._written!r}"
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # EIO: the last that had the terminal open has ended
            return False
        self._written += piece
        return bool(piece)
