"""Start Python programs as forks of a process that has already imported what they import: for programs that tests start hundreds
of times, importing is most of what they cost. A fork runs the program's `__main__` as `python -m` does.

Run as a program, this is that process: `python -m support.fork_server FD CODE` executes CODE and takes requests from the socket.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

TESTS = Path(__file__).resolve().parents[1]
OPERATOR = """
import sys
sys.modules |= {"kubernetes": None, "pykube": None}
import uvloop
import tidegate_operator.manager
"""
"""As it is installed: without the clients of our other parts, which kopf loads where it finds them."""
WEB = "import tidegate_web.commands"
STREAMS = "from gevent import monkey; monkey.patch_all(); import tidegate_web.commands"
COMMAND = """
import sys
import kubernetes, tidegate_cli.app, tidegate_cli.backends.kubernetes
for name in [name for name in sys.modules if name.startswith(("kubernetes.config", "tidegate_cli.backends.kubernetes"))]:
    del sys.modules[name]
kubernetes.__dict__.pop("config", None)
tidegate_cli.backends.__dict__.pop("kubernetes", None)
"""
"""Without what reads KUBECONFIG as it is imported."""
LARGEST = 200_000
"""Bytes of a request."""


class Program(Protocol):
    """A program that was started: what tests use of subprocess.Popen."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | Any: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def start(
    imported: str | None,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: Any = subprocess.DEVNULL,
    stdout: Any,
    stderr: Any,
) -> Program:
    """Start `python ARGUMENTS`, which are `-m MODULE ...`, `-c CODE ...` or `FILE ...`, in a process that has executed `imported`, or
    without such a process."""
    # coverage.py begins to measure where Python begins.
    if imported is None or any(name.startswith("COVERAGE_") for name in env):
        command = [sys.executable, "-P", *arguments]
        return subprocess.Popen(command, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        files = [null if file == subprocess.DEVNULL else _number(file) for file in (stdin, stdout, stderr)]
        return _server(imported).start(arguments, env=env, files=files)
    finally:
        os.close(null)


def run_to_end(
    imported: str, arguments: Sequence[str], *, env: Mapping[str, str], stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """The same, to its end."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        started = start(imported, arguments, env=env, stdin=given, stdout=out, stderr=err)
        try:
            code = started.wait(60)
        except subprocess.TimeoutExpired:
            started.kill()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


@cache
def _server(imported: str) -> "ForkServer":
    """One for all tests of this process."""
    made = ForkServer(imported)
    atexit.register(made.stop)
    return made


class ForkServer:
    """The process that has imported, seen from the tests."""

    def __init__(self, imported: str) -> None:
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LARGEST)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "support.fork_server", str(other.fileno()), imported],
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )

    def start(self, arguments: Sequence[str], *, env: Mapping[str, str], files: Sequence[int]) -> "Forked":
        """Start a program; `files`: its stdin, stdout and stderr."""
        read, write = os.pipe()
        request = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(Path.cwd())}).encode()
        try:
            socket.send_fds(self._control, [request], [*files, write])
        finally:
            os.close(write)
        return Forked(read)

    def stop(self) -> None:
        """End it; what it has started goes on."""
        self._control.close()
        self._process.wait()


class Forked:
    """A program that is a fork, as subprocess.Popen would show it."""

    def __init__(self, reports: int) -> None:
        self._reports = os.fdopen(reports, "rb", buffering=0)
        self.returncode: int | None = None
        started = self._reports.readline()
        assert started, "the fork server ended: see its traceback on stderr"
        self.pid = int(started)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.returncode is None and select.select([self._reports], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked program", timeout or 0.0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Ask for its end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        status = self._reports.readline()
        assert status, "what waits for the program was killed"
        self.returncode = os.waitstatus_to_exitcode(int(status))
        self._reports.close()

    def __del__(self) -> None:
        self._reports.close()


def serve(control: socket.socket, imported: str) -> Sequence[str]:
    """Fork for each request; returns in a fork, with the arguments of the program that it is to be."""
    # Taken before gevent puts its own in their places.
    fork, waitpid, receive, leave = os.fork, os.waitpid, socket.recv_fds, os._exit
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end what they have started
    exec(imported, {"__name__": "imported"})  # noqa: S102
    # A collection in a fork would look at everything that was imported, and so copy it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for those that wait
    while True:
        request, files, _, _ = receive(control, LARGEST, 4)
        if not request:
            leave(0)
        if fork() == 0:
            break
        for file in files:
            os.close(file)
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, reports = files
    if pid := fork():
        os.write(reports, b"%d\n" % pid)
        for file in standard:
            os.close(file)
        os.write(reports, b"%d\n" % waitpid(pid, 0)[1])
        leave(0)
    os.close(reports)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = json.loads(request)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    arguments: list[str] = asked["arguments"]
    return arguments


def run(arguments: Sequence[str]) -> None:
    """Be `python ARGUMENTS`."""
    how, *rest = arguments
    if how == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        sys.argv = [how, *rest[1:]]
        exec(rest[0], {"__name__": "__main__"})  # noqa: S102
    else:
        sys.argv = [*arguments]
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    run(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))
