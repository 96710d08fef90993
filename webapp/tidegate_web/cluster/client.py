"""The web app's way to the apiserver: the official client's configuration, login and connections, dict bodies, and
one kind of error with the apiserver's own words.
"""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException
from tidegate_api.projects import PROJECT_SELECTOR

from tidegate_web.cluster.errors import ClusterError, NoClusterError
from tidegate_web.cluster.lease import Lease, read_lease
from tidegate_web.cluster.objects import Event, KubeObject, ObjectList
from tidegate_web.shared import json_text
from tidegate_web.shared.json_types import JsonObject

GROUP_VERSION = "tidegate.dev/v1alpha1"
MERGE_PATCH = "application/merge-patch+json"
LOGIN_SECONDS = 1.0
"""So long the headers of a login are good without being made again."""
PAGE = 500
"""Objects of a list that are asked for at once."""

_BROKEN = (urllib3.exceptions.HTTPError, OSError)


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def read(self, size: int = 65536) -> bytes:
        """What has come, at least one byte; empty at the end."""
        try:
            return self._response.read1(size)
        except (*_BROKEN, AttributeError, ValueError) as error:  # the latter two: closed by another thread
            raise ClusterError(0, f"the stream broke: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """Whole lines, as they come."""
        rest = b""
        while piece := self.read():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        """End it, from any thread: a read that waits returns."""
        connection = getattr(self._response, "_connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(Exception):
            self._response.close()


class Login:
    """The headers that say who asks, as the client makes them. That reads the whole environment each time, so they are
    remembered for a moment; a token that was renewed is read soon enough, for the old one is good for minutes more."""

    def __init__(self, api: client.ApiClient, *, now: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._now = now
        self._until = -math.inf
        self._headers: dict[str, str] = {}

    def headers(self) -> Mapping[str, str]:
        now = self._now()
        if now >= self._until:
            self._headers = self._api.param_serialize("GET", "", auth_settings=["BearerToken"])[2]
            self._until = now + LOGIN_SECONDS
        return self._headers


class Cluster:
    """Requests to one apiserver, from any thread."""

    def __init__(self, configuration: client.Configuration) -> None:
        # Retries are decided by who asks: a POST that is sent twice may make two runs.
        configuration.retries = False
        configuration.connection_pool_maxsize = 256
        configuration.keep_alive = True
        self._api = client.ApiClient(configuration)
        self._host = configuration.host
        self._login = Login(self._api)

    @classmethod
    def connect(cls, kubeconfig: Path | None = None) -> "Cluster":
        """From a kubeconfig, else the pod's service account, else the user's own kubeconfig."""
        configuration = client.Configuration()
        try:
            if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=None if kubeconfig is None else str(kubeconfig), client_configuration=configuration
                )
        except (ConfigException, OSError) as error:
            raise NoClusterError(f"no way to a cluster: {error}") from error
        return cls(configuration)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = 10,
    ) -> dict[str, Any]:
        """Ask, and get the JSON that was answered; everything else is a ClusterError. What follows says what that JSON is."""
        seconds = urllib3.Timeout(connect=min(5, timeout), read=timeout)
        return self._answer(self._send(method, path, query, body, content_type, seconds))

    def get_lease(self, path: str, *, timeout: float) -> Lease:
        """A Lease, by the clock of the apiserver that answers."""
        response = self._send("GET", path, None, None, "", urllib3.Timeout(connect=min(5, timeout), read=timeout))
        return read_lease(cast("KubeObject", self._answer(response)), response.headers)

    @staticmethod
    def _answer(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        try:
            data = response.read()
        except _BROKEN as error:
            raise ClusterError(0, f"the apiserver's answer broke off: {error}") from error
        finally:
            response.release_conn()
        return cast("dict[str, Any]", _decode(response.status, data))

    def get(self, path: str, *, timeout: float = 10) -> KubeObject:
        """One object."""
        return cast("KubeObject", self.request("GET", path, timeout=timeout))

    def write(
        self,
        method: str,
        path: str,
        *,
        body: object,
        query: Mapping[str, object] | None = None,
        content_type: str = "application/json",
    ) -> KubeObject:
        """Create or change an object; as it is then."""
        return cast("KubeObject", self.request(method, path, body=body, query=query, content_type=content_type))

    def read_list(self, path: str, *, query: Mapping[str, object] | None = None, timeout: float = 10) -> ObjectList:
        """A piece of a list, as far as the query bounds it."""
        answer = self.request("GET", path, query=query, timeout=timeout)
        return {"metadata": answer["metadata"], "items": answer.get("items") or []}

    def pages(
        self, path: str, *, query: Mapping[str, object] | None = None, timeout: float = 10
    ) -> Iterator[ObjectList]:
        """A list in pieces, each as it was answered."""
        more = ""
        while True:
            asked = {"limit": PAGE, **(query or {}), "continue": more or None}
            answer = self.read_list(path, query=asked, timeout=timeout)
            yield answer
            more = answer["metadata"].get("continue") or ""
            if not more:
                return

    def stream(self, path: str, *, query: Mapping[str, object] | None = None, timeout: float = 300) -> Stream:
        """Open a stream; ``timeout`` is how long it may be quiet."""
        response = self._send("GET", path, query, None, "", urllib3.Timeout(connect=5, read=timeout))
        if response.status >= 300:
            try:
                _decode(response.status, response.read())
            finally:
                response.release_conn()
        return Stream(response)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: object,
        content_type: str,
        timeout: urllib3.Timeout,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", **self._login.headers()}
        if body is not None:
            headers["Content-Type"] = content_type
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response: urllib3.BaseHTTPResponse = self._api.rest_client.pool_manager.urlopen(
                method,
                self._host + path + (f"?{urlencode(asked, quote_via=quote)}" if asked else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=timeout,
                preload_content=False,
                retries=False,
            )
            return response
        except _BROKEN as error:
            raise ClusterError(0, f"the apiserver can't be reached: {error}") from error

    # What the web app asks for, by name.

    def create_run(self, project: str, body: Mapping[str, object]) -> KubeObject:
        return self.write("POST", runs_path(project), body=body, query={"fieldValidation": "Strict"})

    def get_run(self, project: str, name: str) -> KubeObject:
        return self.get(f"{runs_path(project)}/{name}")

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        try:
            self.request("GET", path)
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    def cancel_run(self, project: str, name: str, *, uid: str) -> KubeObject:
        """Set ``spec.cancel``, on that very run and no later one of its name."""
        return self._change_run(project, name, uid=uid, cancel=True)

    def suspend_run(self, project: str, name: str, *, uid: str, suspend: bool) -> KubeObject:
        """Set ``spec.suspend``, likewise."""
        return self._change_run(project, name, uid=uid, suspend=suspend)

    def prioritize_run(self, project: str, name: str, *, uid: str, priority: int) -> KubeObject:
        """Set ``spec.priority``, likewise."""
        return self._change_run(project, name, uid=uid, priority=priority)

    def _change_run(self, project: str, name: str, *, uid: str, **spec: object) -> KubeObject:
        patch = {"metadata": {"uid": uid}, "spec": spec}
        return self.write("PATCH", f"{runs_path(project)}/{name}", body=patch, content_type=MERGE_PATCH)

    def reschedule_run(self, project: str, resource: KubeObject, *, start_after: str | None) -> KubeObject:
        """Set ``spec.startAfter`` of exactly this object."""
        metadata = resource["metadata"]
        known = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        patch = {"metadata": known, "spec": {"startAfter": start_after}}
        path = f"{runs_path(project)}/{metadata['name']}"
        return self.write("PATCH", path, body=patch, content_type=MERGE_PATCH)

    def events_of(self, project: str, **of: str) -> "list[Event]":
        """Events of one object, named by fields of ``involvedObject``."""
        selector = ",".join(f"involvedObject.{field}={value}" for field, value in of.items())
        answer = self.read_list(events_path(project), query={"fieldSelector": selector, "limit": 500})
        return cast("list[Event]", answer["items"])

    def delete(self, path: str, *, uid: str, resource_version: int | None = None) -> None:
        """Delete exactly this object; 404 and 409 are the caller's to judge."""
        preconditions: dict[str, str] = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = str(resource_version)
        self.request("DELETE", path, body={"propagationPolicy": "Background", "preconditions": preconditions})

    def project_namespaces(self) -> Iterator[KubeObject]:
        """Namespaces that a cluster admin has labelled as projects."""
        for page in self.pages(NAMESPACES, query={"labelSelector": PROJECT_SELECTOR}):
            yield from page["items"]

    def get_namespace(self, name: str) -> KubeObject | None:
        """None when there is none of that name."""
        try:
            return self.get(f"{NAMESPACES}/{name}")
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def review_token(self, token: str, *, audience: str) -> JsonObject:
        """The status of a TokenReview."""
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = self.write("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)
        return answer.get("status") or {}


NAMESPACES = "/api/v1/namespaces"


def runs_path(project: str | None) -> str:
    """Where TaskRuns are: of one namespace, or all."""
    scope = "" if project is None else f"namespaces/{project}/"
    return f"/apis/{GROUP_VERSION}/{scope}taskruns"


def pods_path(project: str | None) -> str:
    scope = "" if project is None else f"namespaces/{project}/"
    return f"/api/v1/{scope}pods"


def events_path(project: str) -> str:
    return f"/api/v1/namespaces/{project}/events"


def queues_path(project: str) -> str:
    return f"/apis/{GROUP_VERSION}/namespaces/{project}/queues"


def tasks_path(project: str) -> str:
    return f"/apis/{GROUP_VERSION}/namespaces/{project}/tasks"


def schedules_path(project: str | None) -> str:
    scope = "" if project is None else f"namespaces/{project}/"
    return f"/apis/{GROUP_VERSION}/{scope}schedules"


def bindings_path(project: str | None) -> str:
    scope = "" if project is None else f"namespaces/{project}/"
    return f"/apis/rbac.authorization.k8s.io/v1/{scope}rolebindings"


def lease_path(namespace: str, name: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


def jobs_path(project: str) -> str:
    return f"/apis/batch/v1/namespaces/{project}/jobs"


def _decode(status: int, data: bytes) -> object:
    try:
        decoded = json_text.decode(data) if data else {}
    except ValueError:
        decoded = {"message": data.decode("utf-8", errors="replace")[:500]}
    if status >= 300:
        body = decoded if isinstance(decoded, dict) else {}
        message = str(body.get("message") or f"the apiserver answered {status}")
        raise ClusterError(status, message, reason=str(body.get("reason") or ""), body=body)
    return decoded
