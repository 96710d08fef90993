"""A registry on the loopback: the part of the distribution API that answers the manifest of a tag."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

_TYPE = "application/vnd.oci.image.index.v1+json"
_SCOPE = "repository:library/python:pull"
_TOKEN = "a-token-of-no-name"


class Registry:
    """``manifests``: by REPOSITORY:TAG. Asks for an anonymous token, as Docker Hub does, if it is asked to."""

    def __init__(self, manifests: dict[str, bytes], *, wants_token: bool = False, lies: bool = False) -> None:
        self.manifests = manifests
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/token":
                    asked = parse_qs(url.query).get("scope") == [_SCOPE]
                    self._answer(200 if asked else 403, f'{{"token": "{_TOKEN}"}}'.encode(), {})
                elif wants_token and self.headers["Authorization"] != f"Bearer {_TOKEN}":
                    challenge = f'Bearer realm="{registry.url}/token",service="here",scope="{_SCOPE}"'
                    self._answer(401, b"{}", {"WWW-Authenticate": challenge})
                else:
                    self._manifest(url.path)

            def _manifest(self, path: str) -> None:
                repository, _, tag = path.removeprefix("/v2/").partition("/manifests/")
                body = registry.manifests.get(f"{repository}:{tag}")
                if body is None or _TYPE not in self.headers["Accept"]:
                    self._answer(404, b"{}", {})
                    return
                reported = hashlib.sha256(b"other" if lies else body).hexdigest()
                self._answer(200, body, {"Content-Type": _TYPE, "Docker-Content-Digest": f"sha256:{reported}"})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
