"""A real HTTP proxy (Debian's tinyproxy), which passes on what it is asked for and writes it down."""

import re
import shutil
from pathlib import Path

from support.servers import Server, ServerError, answers, ensure_programs


def _program() -> Path | None:
    found = shutil.which("tinyproxy")
    return Path(found) if found else None


class ForwardProxy(Server):
    """On loopback."""

    name = "tinyproxy"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        ensure_programs({"tinyproxy": _program})
        lines = [f"Port {self.port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "LogLevel Connect", "MaxClients 20"]
        (self.folder / "proxy.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        program = _program()
        if program is None:
            raise ServerError("tinyproxy isn't installed: apt-get install tinyproxy")
        return [str(program), "-d", "-c", str(self.folder / "proxy.conf")]

    def ready(self) -> bool:
        return answers(self.port)

    def connected_to(self) -> list[str]:
        """Where it was asked to lead to by now, as HOST:PORT."""
        return re.findall(r"CONNECT (\S+) HTTP", self.log.read_text(errors="replace"))
