#!/usr/bin/env python3
"""Stands before runc in an engine on a host that lacks a capability itself, as hosts that are containers or small VMs do.

`docker run --privileged` asks for all that the kernel has, and runc refuses what can't be given: kind's nodes would not
start. Here that which the engine itself lacks is left out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REAL = "runc.real"
"""runc itself, beside this program."""
# By number, as in linux/capability.h.
_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


def had(status: str) -> frozenset[str]:
    """The capabilities that a process may have, from the text of its /proc/PID/status."""
    (line,) = (line for line in status.splitlines() if line.startswith("CapBnd:"))
    mask = int(line.split()[1], 16)
    return frozenset(f"CAP_{name}" for number, name in enumerate(_CAPABILITIES) if mask >> number & 1)


def reduce(process: dict[str, Any], *, allowed: frozenset[str]) -> None:
    """Leave out of a process of the OCI's specification what the engine can't give."""
    for kind, names in process.get("capabilities", {}).items():
        process["capabilities"][kind] = [name for name in names if name in allowed]
    if "CAP_SYS_RESOURCE" not in allowed:
        # Neither may a limit be raised then, nor a process be made less likely to be killed.
        process.pop("rlimits", None)
        if process.get("oomScoreAdj", 0) < 0:
            process["oomScoreAdj"] = 0


def described(arguments: Sequence[str]) -> tuple[Path, bool] | None:
    """The file that describes what these arguments start, and whether it is a whole container."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    if {"create", "run"} & set(words) and "--bundle" in words:
        return Path(words[words.index("--bundle") + 1]) / "config.json", True
    if "exec" in words and "--process" in words:
        return Path(words[words.index("--process") + 1]), False
    return None


def main(arguments: Sequence[str]) -> None:
    """Reduce what is started, and become runc."""
    if found := described(arguments):
        path, whole = found
        content = json.loads(path.read_text(encoding="utf-8"))
        allowed = had(Path("/proc/self/status").read_text(encoding="ascii"))
        reduce(content["process"] if whole else content, allowed=allowed)
        path.write_text(json.dumps(content), encoding="utf-8")
    os.execv(Path(sys.argv[0]).with_name(REAL), ["runc", *arguments])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
