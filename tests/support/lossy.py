"""A network that loses packets: on loopback, to and from one port. It needs root, who may set rules for packets."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.servers import ensure_programs


def _iptables() -> Path | None:
    found = shutil.which("iptables")
    return Path(found) if found else None


@contextmanager
def lossy(port: int, *, percent: int) -> Iterator[None]:
    """So many of a hundred packets to and from the port are lost."""
    ensure_programs({"iptables": _iptables})
    lost = ["-m", "statistic", "--mode", "random", "--probability", f"{percent / 100:.2f}", "-j", "DROP"]
    rules = [["INPUT", "-i", "lo", "-p", "tcp", side, str(port), *lost] for side in ("--dport", "--sport")]
    made: list[list[str]] = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-A", *rule], check=True)
            made.append(rule)
        yield
    finally:
        for rule in made:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def dropped(port: int) -> int:
    """Packets that were lost there so far."""
    listed = subprocess.run(
        ["iptables", "-w", "-nvxL", "INPUT"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return sum(int(line.split()[0]) for line in listed if f":{port} " in f"{line} " and "DROP" in line)
