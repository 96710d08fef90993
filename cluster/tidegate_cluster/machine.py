"""A node as a machine of its own: mount, network, process and host name spaces that all end when its first process does.

That makes cleaning up simple: with the first process go the pods, their mounts, links and nft tables, whatever crashed.
Inside, /run, /var/lib and /var/log are the node's own, so that every program keeps its usual paths.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commands, processes, waiting
from .errors import ClusterError
from .processes import Process

BIN = "/run/tidegate/bin"
PKI = "/run/tidegate/pki"
CONFIG = "/run/tidegate/node"
_PATH = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Not `ip netns exec`: it mounts a fresh /sys, in which the kubelet finds no cgroups. The sources are gathered in a tmpfs
# first, because covering /run or /var/lib may hide the directories that they come from.
_BOOT = """
mount --make-rshared /
mount -t tmpfs -o mode=755 tidegate {node}/run
mkdir -p {node}/run/tidegate/bin {node}/run/tidegate/pki {node}/run/tidegate/node \\
         {node}/run/tidegate/lib {node}/run/tidegate/log
mount --bind {programs} {node}/run/tidegate/bin
mount --bind {pki} {node}/run/tidegate/pki
mount --bind {node}/config {node}/run/tidegate/node
mount --bind {node}/lib {node}/run/tidegate/lib
mount --bind {node}/log {node}/run/tidegate/log
mount --rbind {node}/run /run
mount --rbind /run/tidegate/lib /var/lib
mount --rbind /run/tidegate/log /var/log
hostname {name}
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
test ! -e /proc/sys/net/ipv6 || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
cd /
exec catatonit -P
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One node's spaces; `directory` is its disk."""

    name: str
    directory: Path

    def boot(self, *, programs: Path, pki: Path) -> None:
        """Make the spaces of a node and wait until the first process is in place."""
        values = {"node": self.directory, "programs": programs, "pki": pki, "name": self.name}
        self.boot_with(_BOOT.format(**{key: shlex.quote(str(value)) for key, value in values.items()}))

    def boot_with(self, script: str) -> None:
        """Make the spaces with a script of the caller's, which ends as the first process, catatonit."""
        for part in ("run", "config", "lib", "log", "logs", "processes"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        spaces = ("--mount", "--net", "--pid", "--uts", "--mount-proc")
        # --kill-child: the spaces end with the process that is recorded, even if it is killed outright.
        command = ("unshare", *spaces, "--fork", "--kill-child", "--wd=/", "/bin/sh", "-eu", "-c", script)
        log = str(self.directory / "logs/machine.log")
        # Not Popen, which complains when it is forgotten while its process goes on.
        pid = os.posix_spawnp(
            command[0],
            command,
            self._environment(),
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        process = Process.of(pid)
        if process:  # else it has ended already, and its log says why
            process.write(self.directory / "processes/machine")
        waiting.until(self._booted, what=f"the name spaces of {self.name}", seconds=20, every=0.02)

    @property
    def alive(self) -> bool:
        return self._first() is not None

    def start(self, program: str, *args: str, first: str = "") -> None:
        """Start a program of the node that goes on running, looked for in `first` first; its output goes to logs/PROGRAM.log."""
        # Started by a shell that ends, it is a child of the node's first process, which reaps it, however it ends.
        search = f"PATH={shlex.quote(first)}:$PATH; " if first else ""
        script = f'{search}setsid "$@" >&2 & echo $!'
        with (self.directory / "logs" / f"{program}.log").open("ab") as log:
            done = subprocess.run(
                [*self._enter(), "/bin/sh", "-c", script, "sh", program, *args],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                check=False,
            )
        inner = done.stdout.strip()
        process = processes.in_space_of(self.first_pid(), inner=int(inner)) if inner else None
        if process is None:
            raise ClusterError(f"{program} of {self.name} ended at once: {self.last_words(program)}")
        process.write(self.directory / "processes" / program)

    def running(self, program: str) -> bool:
        process = Process.read(self.directory / "processes" / program)
        return process is not None and process.alive

    def kill(self, program: str) -> None:
        """End a program of the node with no warning."""
        process = Process.read(self.directory / "processes" / program)
        if process:
            process.signal(signal.SIGKILL)
            waiting.until(lambda: not process.alive, what=f"{program} to end", seconds=20)

    def freeze(self, program: str) -> None:
        """Stop a program where it stands: it answers no request, and knows nothing of that afterwards."""
        self._signal(program, signal.SIGSTOP)

    def thaw(self, program: str) -> None:
        """Let a frozen program go on."""
        self._signal(program, signal.SIGCONT)

    def _signal(self, program: str, number: signal.Signals) -> None:
        process = Process.read(self.directory / "processes" / program)
        if process is None or not process.alive:
            raise ClusterError(f"{program} of {self.name} does not run")
        process.signal(number)

    def run(self, *command: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run a short program in the node."""
        return commands.run(*self._enter(), *command, stdin=stdin, env=self._environment(), timeout=timeout)

    def popen(self, *command: str, stdin: int | None = None, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Start a program in the node that the caller talks to and waits for."""
        return subprocess.Popen(
            [*self._enter(), *command],
            env=self._environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd="/",
        )

    def first_pid(self) -> int:
        """The host's pid of the node's first process: with it one enters the node's spaces."""
        first = self._first()
        if first is None:
            raise ClusterError(f"{self.name} is not running: run `up` again")
        return first.pid

    def last_words(self, program: str) -> str:
        """The last line of a program's log."""
        log = self.directory / "logs" / f"{program}.log"
        return commands.last_line(log.read_text(errors="replace")) if log.exists() else "no log"

    def _enter(self) -> Sequence[str]:
        return ("nsenter", f"--target={self.first_pid()}", "--mount", "--net", "--pid", "--uts", "--wd=/", "--")

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": _PATH, "HOME": "/root", processes.MARK: f"{self.directory}/"}

    def _first(self) -> Process | None:
        outer = Process.read(self.directory / "processes/machine")
        inner = outer.children() if outer and outer.alive else []
        return inner[0] if inner and _is_init(inner[0]) else None

    def _booted(self) -> bool:
        if not self.running("machine"):
            raise ClusterError(f"can't make the name spaces of {self.name}: {self.last_words('machine')}")
        return self.alive


def _is_init(process: Process) -> bool:
    try:
        return Path(f"/proc/{process.pid}/comm").read_text().strip() == "catatonit"
    except OSError:
        return False
