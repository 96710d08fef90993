"""Requests and streams over HTTP with JSON, for both ways: how they are sent is each way's own (`Sender`)."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, cast

import urllib3

from tidegate_cli.deadlines import Deadline

_BROKEN = (urllib3.exceptions.HTTPError, OSError)
SECONDS = 30.0
"""So long may an answer take."""


class AnswerError(Exception):
    """An answer that isn't a success, or none (``status`` 0)."""

    def __init__(self, status: int, message: str, *, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.body = dict(body or {})

    @property
    def unavailable(self) -> bool:
        """Whether asking again later may help."""
        return self.status in (0, 429) or self.status >= 500


class Sender(Protocol):
    """Sends one request, without reading the answer."""

    def __call__(
        self, method: str, path: str, *, query: Mapping[str, object], body: bytes | None, headers: Mapping[str, str],
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse: ...  # fmt: skip


class Stream:
    """An answer that is read as it comes, until a deadline."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: Deadline, *, quiet: float) -> None:
        self._response = response
        self._deadline = deadline
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*_BROKEN):
            self._response.close()

    def pieces(self) -> Iterator[bytes]:
        """What comes, until the other side ends, nothing came for long, or the deadline is past."""
        while not self._deadline.past:
            self._wait_at_most(self._deadline.at_most(self._quiet))
            try:
                piece = self._response.read1(65536)
            except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
                return
            except _BROKEN as error:
                raise AnswerError(0, f"the connection broke: {error}") from error
            if not piece:
                return
            yield piece

    def lines(self) -> Iterator[bytes]:
        """Whole lines, as they come."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole

    def _wait_at_most(self, seconds: float) -> None:
        # urllib3 sets this once a request; a stream with heartbeats would never be past its deadline.
        sock = getattr(getattr(self._response, "_connection", None), "sock", None)
        if sock is not None:
            sock.settimeout(seconds)


class Http:
    """One server."""

    def __init__(self, send: Sender) -> None:
        self._send = send

    def request(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: object = None,
        content_type: str = "application/json", headers: Mapping[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """Ask, and get the JSON that was answered."""
        asked = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            asked["Content-Type"] = content_type
        response = self._open(method, path, query, None if body is None else json.dumps(body).encode(), asked, SECONDS)
        try:
            data = response.read()
        except _BROKEN as error:
            raise AnswerError(0, f"the answer broke off: {error}") from error
        finally:
            response.release_conn()
        return _decode(response.status, data)

    def stream(
        self, path: str, *, deadline: Deadline, query: Mapping[str, object] | None = None, quiet: float = 300,
        headers: Mapping[str, str] | None = None,
    ) -> Stream:  # fmt: skip
        """Open a stream; ``quiet`` is how long nothing may come."""
        response = self._open("GET", path, query, None, {"Accept": "*/*", **(headers or {})}, deadline.at_most(quiet))
        if response.status >= 300:
            try:
                _decode(response.status, response.read())
            except _BROKEN as error:
                raise AnswerError(0, f"the answer broke off: {error}") from error
            finally:
                response.release_conn()
        return Stream(response, deadline, quiet=quiet)

    def _open(
        self, method: str, path: str, query: Mapping[str, object] | None, body: bytes | None, headers: Mapping[str, str],
        seconds: float,
    ) -> urllib3.BaseHTTPResponse:  # fmt: skip
        wanted = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        timeout = urllib3.Timeout(connect=min(10, seconds), read=seconds)
        try:
            return self._send(method, path, query=wanted, body=body, headers=headers, timeout=timeout)
        except _BROKEN as error:
            raise AnswerError(0, _in_short(error)) from error


def _in_short(error: Exception) -> str:
    """Without the object that urllib3 names first."""
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError | urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    return str(error).rpartition("object at ")[2].partition(">: ")[2] or str(error)


def _decode(status: int, data: bytes) -> Any:
    try:
        decoded = json.loads(data) if data else {}
    except ValueError:
        if status < 300:
            raise AnswerError(status, "the answer is not JSON") from None
        decoded = {}
    if status >= 300:
        body = cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}
        raise AnswerError(status, str(body.get("message") or body.get("detail") or f"it answered {status}"), body=body)
    return decoded
