"""The apiserver in memory and a real one, asked alike: what one answers otherwise than the other is a fault of the fake.

A `Side` is one of them. What is compared are codes and what the operator reads of bodies, never times, uids or versions.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from tidegate_cluster.control_plane import ControlPlane

from support.fake_apiserver import FakeApiserver, Request
from support.fake_network import watch_from
from support.operator import wait_served

Json = dict[str, Any]
MERGE: Final = "application/merge-patch+json"
OPERATIONS: Final = "application/json-patch+json"
WATCH_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer."""

    code: int
    body: Json

    @property
    def reported(self) -> tuple[int, str]:
        """The code, and for an error its reason."""
        return self.code, self.body.get("reason", "") if self.code >= 400 else ""

    @property
    def meta(self) -> Json:
        found: Json = self.body.get("metadata") or {}
        return found

    @property
    def version(self) -> str:
        found: str = self.meta["resourceVersion"]
        return found


class Side(Protocol):
    """An apiserver."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answered:
        """Its answer."""

    def watch(self, path: str, *, version: str, enough: Callable[[list[Json]], bool], **query: str) -> list[Json]:
        """The events since `version`, until they are enough."""

    def forget(self) -> None:
        """What was before can't be had any more: neither pages of old lists nor old events."""


@dataclass(kw_only=True)
class FakeSide:
    """The one in memory."""

    server: FakeApiserver

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answered:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": content, "Accept": accept}
        answer = self.server.handle(Request(method=method, path=path, query=query, headers=headers, data=data))
        return Answered(code=answer.status, body=json.loads(answer.data))

    def watch(self, path: str, *, version: str, enough: Callable[[list[Json]], bool], **query: str) -> list[Json]:
        found = [json.loads(line) for line in watch_from(self.server, version)]
        assert enough(found), found
        return found

    def forget(self) -> None:
        self.server.forget()


@dataclass(kw_only=True)
class RealSide:
    """The real one."""

    plane: ControlPlane
    _tls: ssl.SSLContext | None = field(default=None, init=False)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answered:
        data = json.dumps(body).encode() if body is not None else None
        request = self._request(method, path, query, data=data, headers={"Content-Type": content, "Accept": accept})
        try:
            with self._open(request) as response:
                return Answered(code=response.status, body=json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answered(code=error.code, body=json.load(error))

    def watch(self, path: str, *, version: str, enough: Callable[[list[Json]], bool], **query: str) -> list[Json]:
        asked = {**query, "watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        found: list[Json] = []
        with self._open(self._request("GET", path, asked)) as lines:
            for line in lines:
                found.append(json.loads(line))
                if enough(found):
                    break
        assert enough(found), found
        return found

    def forget(self) -> None:
        self.plane.compact()
        self.plane.stop_apiserver()  # a running one still has what it saw
        self.plane.start_apiserver()
        wait_served(self.plane)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> urllib.request.Request:
        url = f"{self.plane.url}{path}?{urlencode(query)}"
        headers = {**(headers or {}), "Authorization": f"Bearer {self.plane.token()}"}
        return urllib.request.Request(url, method=method, data=data, headers=headers)  # noqa: S310 - loopback

    def _open(self, request: urllib.request.Request) -> Any:
        return urllib.request.urlopen(request, context=self._context(), timeout=30)  # noqa: S310 - loopback

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self.plane.ca_file))
        return self._tls
