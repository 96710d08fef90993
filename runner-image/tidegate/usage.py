"""What an attempt has used, read at its end: of its container's cgroup, else of its processes.

It travels in the result file, as a line of its own before what is there. An operator that doesn't know such a line hasn't asked
for it (``TIDEGATE_REPORT_USAGE``). The file's own content stays as it was written.
"""

from __future__ import annotations

import json
import os
from typing import Dict, NamedTuple, Optional

CGROUP = "/sys/fs/cgroup"
KEY = "tidegate.dev/usage"
_CPU_OF_V1 = ("cpuacct/cpuacct.usage", "cpu,cpuacct/cpuacct.usage")


class Usage(NamedTuple):
    """Of all processes of an attempt."""

    cpu_seconds: float
    memory_peak_bytes: int

    def document(self) -> Dict[str, int]:
        """As JSON."""
        return {"cpuMilliseconds": int(self.cpu_seconds * 1000), "memoryPeakBytes": self.memory_peak_bytes}


def read(root: str = CGROUP) -> Usage:
    """The usage until now. ``root``: where the container finds its own cgroup, of version 2 or 1."""
    cpu, peak = _cpu_of_cgroup(root), _peak_of_cgroup(root)
    if cpu is not None and peak is not None:
        return Usage(cpu, peak)
    own = _of_processes()
    return Usage(own.cpu_seconds if cpu is None else cpu, own.memory_peak_bytes if peak is None else peak)


def report(*, succeeded: bool, root: str = CGROUP) -> None:
    """Put the usage before what the result file has. What hinders that changes no outcome."""
    path = os.environ.get("TIDEGATE_RESULT_FILE")
    if not path or os.environ.get("TIDEGATE_REPORT_USAGE") != "1":
        return
    try:
        limit = int(os.environ.get("TIDEGATE_RESULT_MAX_BYTES", "4096"))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            content = os.read(descriptor, limit)
            # After a failure that has written nothing the kubelet takes the end of the log for the message.
            if content or succeeded:
                data = json.dumps({KEY: read(root).document()}, separators=(",", ":")).encode() + b"\n" + content
                # One that reaches the limit counts as cut by the kubelet. The write is one call: the file never lacks its content.
                if len(data) < limit and not content.startswith(b'{"%s"' % KEY.encode()):
                    os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return


def _cpu_of_cgroup(root: str) -> Optional[float]:
    for line in (_text(f"{root}/cpu.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            microseconds = _number(value)
            return None if microseconds is None else microseconds / 1e6
    for name in _CPU_OF_V1:
        nanoseconds = _number(_text(f"{root}/{name}"))
        if nanoseconds is not None:
            return nanoseconds / 1e9
    return None


def _peak_of_cgroup(root: str) -> Optional[int]:
    peak = _number(_text(f"{root}/memory.peak"))
    return _number(_text(f"{root}/memory/memory.max_usage_in_bytes")) if peak is None else peak


def _of_processes() -> Usage:
    """Of this process and those that it has waited for. Memory is that of the largest one."""
    import resource

    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Usage(sum(one.ru_utime + one.ru_stime for one in both), max(one.ru_maxrss for one in both) * 1024)


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(64 * 1024)
    except OSError:
        return None


def _number(text: Optional[str]) -> Optional[int]:
    digits = (text or "").strip()
    return int(digits) if digits.isdigit() and len(digits) <= 19 else None
