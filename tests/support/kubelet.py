"""The one thing that stands in for something here: a node's kubelet, as far as the real apiserver asks it for logs.

It serves what a test wrote, each line with its time where that is asked for; a following reader gets what is added until the
log is closed, also when it goes on in another file, which is all that those who come later get. As the kubelet does, it hears
of another file only while it has nothing to read: who asks it to overhear one stays with the old file until the next begins.
"""

import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tidegate_cluster.pki import Authority

from support.kube import Kube

BEGIN = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""When the first line of each log was written; the next each a second later."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a log."""

    begins: int
    """The number of its first line."""
    overheard: bool = False
    """Those who followed when it began don't know of it."""


class Log:
    """What a container has written."""

    def __init__(self) -> None:
        self._lines: list[tuple[bytes, bytes]] = []
        """Time and text of each, or of the beginning of the last."""
        self._files = [File(begins=0)]
        self.closed = False
        self.readers = 0
        self.changed = threading.Condition()

    def write(self, data: bytes, *, close: bool = False) -> None:
        with self.changed:
            for text in data.splitlines(keepends=True):
                if self._lines and not self._lines[-1][1].endswith(b"\n"):
                    stamp, begun = self._lines.pop()
                    self._lines.append((stamp, begun + text))
                else:
                    at = BEGIN + len(self._lines) * timedelta(seconds=1)
                    self._lines.append((f"{at:%Y-%m-%dT%H:%M:%S}.000000000Z ".encode(), text))
            self.closed |= close
            self.changed.notify_all()

    def rotate(self, *, overheard: bool = False) -> None:
        """The node begins another file."""
        with self.changed:
            self._files.append(File(begins=len(self._lines), overheard=overheard))
            self.changed.notify_all()

    @property
    def file(self) -> int:
        """The number of the present file."""
        return len(self._files) - 1

    def file_after(self, file: int) -> int | None:
        """Where a user who has read a file to its end goes on: in the one that is there by then, if notified."""
        reported = [number for number in range(file + 1, len(self._files)) if not self._files[number].overheard]
        return self.file if reported else None

    def read(self, stamped: bool, limit: int) -> list[bytes]:
        """The present file as it is, in as many pieces as there is something of it; ``limit`` bytes of it, unless 0."""
        with self.changed:
            text = self.text(file=self.file, stamped=stamped)
        return [text[: limit or None]] if text else []

    def text(self, *, file: int, stamped: bool) -> bytes:
        """What is in a file."""
        begins = self._files[file].begins
        ends = self._files[file + 1].begins if file < self.file else None
        return b"".join(stamp * stamped + text for stamp, text in self._lines[begins:ends])


class Kubelet:
    """A node of the cluster with an address on loopback."""

    def __init__(self, kube: Kube, *, name: str, folder: Path) -> None:
        self.name = name
        self._kube = kube
        self._logs: dict[str, Log] = {}
        authority = Authority(directory=folder)
        authority.create()
        made = authority.issue(name="kubelet", subject="/CN=kubelet", names=["IP:127.0.0.1"])
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                parts = url.path.split("/")
                log = kubelet._logs.get(parts[3]) if len(parts) == 5 and parts[1] == "containerLogs" else None
                if log is None:
                    self.send_error(404, "no such container")
                    return
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                asked = parse_qs(url.query)
                stamped, limit = "timestamps" in asked, int(asked.get("limitBytes", ["0"])[0])
                for piece in Following(log, stamped=stamped) if "follow" in asked else log.read(stamped, limit):
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._kube.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}})
        status = {
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
            }
        }
        self._kube.patch("nodes", self.name, status, subresource="status", strategic=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for log in self._logs.values():
            log.write(b"", close=True)
        self._kube.delete("nodes", self.name, wait=False)
        self._server.shutdown()
        self._server.server_close()

    def log(self, pod: str) -> Log:
        return self._logs.setdefault(pod, Log())


class Following:
    """A log as a follower gets it."""

    def __init__(self, log: Log, *, stamped: bool) -> None:
        self._log, self._stamped = log, stamped
        self._file = log.file
        self._at = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._log.changed:
            self._log.readers += 1
            self._log.changed.notify_all()
            while not (piece := self._more()) and not self._log.closed:
                self._log.changed.wait(10)
            self._log.readers -= 1
            self._at += len(piece)
        if not piece:
            raise StopIteration
        return piece

    def _more(self) -> bytes:
        """What there is to read, in the next file if this one is read to its end."""
        piece = self._log.text(file=self._file, stamped=self._stamped)[self._at :]
        after = None if piece else self._log.file_after(self._file)
        if after is None:
            return piece
        self._file, self._at = after, 0
        return self._log.text(file=after, stamped=self._stamped)
