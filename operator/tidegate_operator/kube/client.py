"""A small client of the apiserver: six verbs, and what every call needs once.

kopf owns the watches of our own kinds; everything else goes through here: writes are fenced (a replica that has lost its
Lease must not write), 429 and 503 are waited out as the server asks, and the service account's token is read again as the
kubelet renews it.
"""

import asyncio
import base64
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Required, Self, TypedDict, TypeVar, cast

import aiohttp
import yaml
from tidegate_api.objects import KubeObject, TokenReviewBody

from tidegate_operator import json_codec
from tidegate_operator.kube.cluster_clock import ClusterClock
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.metrics import Metrics

T = TypeVar("T")
Operation = Mapping[str, object]
FIELD_MANAGER: Final = "tidegate-operator"
"""One operation of a JSON Patch."""

Kubeconfig = Mapping[str, Any]
"""A kubeconfig or a section of one, as YAML has it: any program may have written it."""

IN_CLUSTER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WRITE_TIMEOUT: Final = 4.0
READ_TIMEOUT: Final = 60.0
PAGE: Final = 500
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Accept: no more of an object than its metadata, where the rest is known or not wanted."""
TOKEN_SECONDS: Final = 60.0
PATIENCE: Final = 5
"""Tries of one request that the server asks to repeat."""


class KubeconfigError(Exception):
    """The kubeconfig can't be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Where the apiserver is and who we are there."""

    server: str
    ca: str | None = None
    token: str | None = None
    token_file: Path | None = None
    certificate: str | None = None
    key: str | None = None
    insecure: bool = False

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """From `path`, else the pod's service account, else $KUBECONFIG, else ~/.kube/config."""
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        if path is None and host and (IN_CLUSTER / "token").exists():
            port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            return cls(
                server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
                ca=(IN_CLUSTER / "ca.crt").read_text(encoding="ascii"),
                token_file=IN_CLUSTER / "token",
            )
        found = path or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        return cls.from_kubeconfig(found)

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """From a kubeconfig with a token or a client certificate."""
        try:
            conf = yaml.safe_load(path.read_text(encoding="utf-8"))
            context = _named(conf, "contexts", conf["current-context"])["context"]
            cluster = _named(conf, "clusters", context["cluster"])["cluster"]
            user = _named(conf, "users", context["user"])["user"]
        except OSError as error:
            raise KubeconfigError(
                f"can't read {path}: {error.strerror}; set KUBECONFIG to a kubeconfig file"
            ) from error
        except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
            raise KubeconfigError(
                f"{path} is not a usable kubeconfig: it needs a current-context, its cluster and user"
            ) from error
        if "exec" in user or "auth-provider" in user:
            raise KubeconfigError(
                f"{path} signs in through a plugin: use a kubeconfig with a token or a client certificate"
            )
        return cls(
            server=cluster["server"].rstrip("/"),
            ca=_inline(cluster, "certificate-authority", path),
            token=user.get("token"),
            token_file=Path(user["tokenFile"]) if user.get("tokenFile") else None,
            certificate=_inline(user, "client-certificate", path),
            key=_inline(user, "client-key", path),
            insecure=bool(cluster.get("insecure-skip-tls-verify")),
        )

    def ssl_context(self) -> ssl.SSLContext:
        """TLS as the kubeconfig says."""
        context = ssl.create_default_context(cadata=self.ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            # OpenSSL loads client certificates from files only.
            with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
                file.write(f"{self.certificate}\n{self.key}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


class KubeClient:
    """One connection pool to the apiserver. `guard` is asked before every write and raises NotLeadingError."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        metrics: Metrics,
        guard: Callable[[], None] | None = None,
        clock: ClusterClock | None = None,
        limit: int = 64,
    ) -> None:
        """`clock` hears what the apiserver's own says."""
        self.cluster = cluster
        self._metrics = metrics
        self._guard, self._clock = guard, clock
        self._limit = limit
        self._http: aiohttp.ClientSession | None = None
        self._token = cluster.token
        self._token_read = float("-inf")

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._limit, ssl=self.cluster.ssl_context())
        self._http = aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": "tidegate-operator"}, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(
        self,
        path: str,
        shape: type[T],
        *,
        resource: str,
        params: Mapping[str, str] | None = None,
        accept: str | None = None,
        seconds: float = READ_TIMEOUT,
    ) -> T:
        """One object, or one page of a list. `shape`: what the apiserver serves at that path."""
        headers = {"Accept": accept} if accept else None
        found = await self._request("GET", path, resource=resource, params=params, headers=headers, seconds=seconds)
        return cast("T", found)

    async def pages(
        self,
        path: str,
        shape: type[T],
        *,
        resource: str,
        params: Mapping[str, str] | None = None,
        accept: str | None = None,
    ) -> AsyncIterator[tuple[list[T], str]]:
        """A consistent list in pages: (items of `shape`, the list's resourceVersion)."""
        query = {**(params or {}), "limit": str(PAGE)}
        while True:
            page = await self.get(path, _Page, resource=resource, params=query, accept=accept)
            yield cast("list[T]", page.get("items") or []), page["metadata"]["resourceVersion"]
            if not (more := page["metadata"].get("continue")):
                return
            query["continue"] = more

    async def create(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        resource: str,
        strict: bool = False,
        accept: str | None = None,
    ) -> KubeObject:
        """POST. `strict`: unknown and duplicate fields are an error."""
        params = {"fieldValidation": "Strict"} if strict else {}
        return await self._write("POST", path, body, resource=resource, params=params, accept=accept)

    async def review(self, body: Mapping[str, object]) -> TokenReviewBody:
        """POST a TokenReview. It stores nothing, so it needs no Lease."""
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        return cast("TokenReviewBody", await self._write("POST", path, body, resource="tokenreviews", fenced=False))

    async def replace(self, path: str, body: Mapping[str, object], *, resource: str) -> KubeObject:
        """PUT: the body's resourceVersion guards it."""
        return await self._write("PUT", path, body, resource=resource)

    async def write_status(
        self,
        path: str,
        status: Mapping[str, object],
        *,
        version: int,
        resource: str,
        accept: str | None = None,
        keep: str | None = None,
    ) -> KubeObject:
        """PATCH the whole status of the object at `path`, as it was decided on at `version`: a conflict where it has changed.

        `keep`: a field that the status has at that version, and keeps.
        """
        # `replace` makes a stale version a 409; `test` would make it a 422. With `add`, nulls in the status survive.
        patch: list[Operation] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(version)},
            {"op": "add", "path": "/status", "value": status},
        ]
        if keep is not None:
            # The field is moved away before the status is replaced, and back after it. So no caller has to keep its value.
            patch.insert(1, {"op": "move", "from": f"/status/{keep}", "path": "/kept"})
            patch.append({"op": "move", "from": "/kept", "path": f"/status/{keep}"})
        return await self._write(
            "PATCH",
            f"{path}/status",
            patch,
            resource=f"{resource}/status",
            content="application/json-patch+json",
            accept=accept,
        )

    async def merge_patch(self, path: str, patch: Mapping[str, object], *, resource: str) -> KubeObject:
        """PATCH by merging."""
        return await self._write("PATCH", path, patch, resource=resource, content="application/merge-patch+json")

    async def apply(self, path: str, body: Mapping[str, object], *, resource: str) -> KubeObject:
        """PATCH by server-side apply: the object is as `body` says, created where it isn't there. Unknown fields are an error."""
        params = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        content = "application/apply-patch+yaml"  # of which JSON is a part
        return await self._write("PATCH", path, body, resource=resource, params=params, content=content)

    async def delete(self, path: str, *, resource: str, uid: str, version: str | None = None, propagation: str) -> None:
        """DELETE exactly the object that was seen. Gone already is fine."""
        preconditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        try:
            await self._write("DELETE", path, body, resource=resource)
        except KubeError as error:
            if error.code != 404:
                raise

    async def watch(self, path: str, *, params: Mapping[str, str], resource: str) -> AsyncIterator[bytes]:
        """The lines of a watch, undecoded, until the server ends it or nothing has come for 70 s (bookmarks come each minute)."""
        query = {**params, "watch": "1", "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=70)
        async with self._session.get(
            self.cluster.server + path, params=query, headers=self._headers(None), timeout=timeout, read_bufsize=1 << 22
        ) as response:
            self._metrics.answered("watch", resource, response.status)
            if response.status != 200:
                raise _error(response.status, await response.read())
            async for line in response.content:
                yield line

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("KubeClient is used outside its `async with`")
        return self._http

    async def _write(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | Sequence[Operation],
        *,
        resource: str,
        params: Mapping[str, str] | None = None,
        content: str = "application/json",
        accept: str | None = None,
        fenced: bool = True,
    ) -> KubeObject:
        # The server gives up with us: a write that we have stopped waiting for must not happen later.
        query = {**(params or {}), "timeout": f"{int(WRITE_TIMEOUT)}s"}
        data = json_codec.dumps(body)
        answer = await self._request(
            method,
            path,
            resource=resource,
            params=query,
            headers={"Content-Type": content, **({"Accept": accept} if accept else {})},
            data=data,
            seconds=WRITE_TIMEOUT,
            fenced=fenced,
        )
        return cast("KubeObject", answer)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        resource: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        seconds: float = READ_TIMEOUT,
        fenced: bool = False,
    ) -> object:
        for left in range(PATIENCE - 1, -1, -1):
            if fenced and self._guard is not None:
                self._guard()
            begin, sent = time.perf_counter(), self._clock.running() if self._clock is not None else 0.0
            async with self._session.request(
                method,
                self.cluster.server + path,
                params=params,
                headers=self._headers(headers),
                data=data,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, 5.0)),
            ) as response:
                # A 5xx may come from a proxy, with the time of its machine.
                if self._clock is not None and response.status < 500:
                    self._clock.answered(response.headers.get("Date"), sent=sent)
                raw = await response.read()
                took = time.perf_counter() - begin
                self._metrics.answered(method.lower(), resource, response.status, seconds=took)
                if response.status < 300:
                    return _decoded(raw)
                pause = response.headers.get("Retry-After")
                if response.status not in (429, 503) or pause is None or not left:
                    raise _error(response.status, raw)
            await asyncio.sleep(min(float(pause), 10.0) if pause.isdigit() else 1.0)
        raise AssertionError("unreachable: the last try raises")

    def _headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        file = self.cluster.token_file
        if file is not None and time.monotonic() - self._token_read > TOKEN_SECONDS:
            self._token = file.read_text(encoding="ascii").strip()
            self._token_read = time.monotonic()
        return {**({"Authorization": f"Bearer {self._token}"} if self._token else {}), **(extra or {})}


_ListMeta = TypedDict("_ListMeta", {"resourceVersion": Required[str], "continue": str}, total=False)


class _Page(TypedDict):
    metadata: _ListMeta
    items: list[object] | None


def _decoded(raw: bytes) -> object:
    try:
        return json_codec.loads(raw)
    except ValueError as error:
        # Not from the apiserver: something on the way to it has answered.
        raise KubeError(code=502, reason="NotJSON", message=raw[:500].decode("utf-8", "replace")) from error


def _error(code: int, raw: bytes) -> KubeError:
    try:
        status = json_codec.loads(raw)
    except ValueError:
        status = None
    if isinstance(status, dict):
        return KubeError(code=code, reason=status.get("reason") or "Unknown", message=status.get("message") or "")
    return KubeError(code=code, reason="Unknown", message=raw[:500].decode("utf-8", "replace"))


def _named(conf: Kubeconfig, kind: str, name: str) -> Kubeconfig:
    found: Kubeconfig = next(entry for entry in conf[kind] if entry["name"] == name)
    return found


def _inline(section: Kubeconfig, key: str, kubeconfig: Path) -> str | None:
    if data := section.get(f"{key}-data"):
        return base64.b64decode(data).decode("ascii")
    if name := section.get(key):
        file = kubeconfig.parent / str(name)
        return file.read_text(encoding="ascii")
    return None
