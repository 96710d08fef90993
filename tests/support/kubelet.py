"""The one thing that stands in for something here: a node's kubelet, as far as the real apiserver asks it for logs.

It serves what a test wrote, each line with its time where that is asked for; a following reader gets what is added until the
log is closed, also when it goes on in another file, which is all that those who come later get.
"""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tidegate_cluster.pki import Authority
from tidegate_web.kubernetes import Cluster


class Log:
    """What a container has written."""

    def __init__(self) -> None:
        self._lines: list[tuple[bytes, bytes]] = []
        """Time and text of each, or of the beginning of the last."""
        self._file = 0
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
                    at = f"2026-11-25T12:00:00.{len(self._lines):09}Z "
                    self._lines.append((at.encode(), text))
            self.closed |= close
            self.changed.notify_all()

    def rotate(self) -> None:
        """The node begins another file."""
        with self.changed:
            self._file = len(self._lines)

    def text(self, *, since: int, stamped: bool) -> bytes:
        """From a line on."""
        return b"".join(stamp * stamped + text for stamp, text in self._lines[since:])

    @property
    def file(self) -> int:
        """The first line of the present file."""
        return self._file


class Kubelet:
    """A node of the cluster with an address on loopback."""

    def __init__(self, cluster: Cluster, *, name: str, folder: Path) -> None:
        self.name = name
        self._cluster = cluster
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
                for piece in kubelet._pieces(log, follow="follow" in asked, stamped="timestamps" in asked):
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

    def _pieces(self, log: Log, *, follow: bool, stamped: bool) -> "list[bytes] | Pieces":
        if follow:
            return Pieces(log, stamped=stamped)
        text = log.text(since=log.file, stamped=stamped)
        return [text] if text else []

    def __enter__(self) -> Self:
        self._thread.start()
        node = {"metadata": {"name": self.name}}
        self._cluster.request("POST", "/api/v1/nodes", body=node)
        status = {
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
            }
        }
        patch = "application/strategic-merge-patch+json"
        self._cluster.request("PATCH", f"/api/v1/nodes/{self.name}/status", body=status, content_type=patch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for log in self._logs.values():
            log.write(b"", close=True)
        self._cluster.request("DELETE", f"/api/v1/nodes/{self.name}")
        self._server.shutdown()
        self._server.server_close()

    def log(self, pod: str) -> Log:
        return self._logs.setdefault(pod, Log())


class Pieces:
    """A log as a follower gets it."""

    def __init__(self, log: Log, *, stamped: bool) -> None:
        self._log, self._stamped = log, stamped
        self._since = log.file
        self._at = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._log.changed:
            self._log.readers += 1
            self._log.changed.notify_all()
            while len(self._text()) == self._at and not self._log.closed:
                self._log.changed.wait(10)
            self._log.readers -= 1
            piece = self._text()[self._at :]
            self._at += len(piece)
        if not piece:
            raise StopIteration
        return piece

    def _text(self) -> bytes:
        return self._log.text(since=self._since, stamped=self._stamped)
