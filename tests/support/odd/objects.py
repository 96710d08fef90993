"""Odd objects of every kind, handed to a real apiserver in bulk, and what others do to Jobs, pods and statuses."""

import asyncio
from collections import Counter
from typing import Any, cast

import aiohttp
import yaml
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator import json_codec
from tidegate_operator.kube.client import Cluster

from support.builders import a_run
from support.kube import Kube
from support.odd.values import Json, Odd, encode, without_bounds
from support.operator import CRDS

KINDS = ("taskruns", "tasks", "queues", "schedules")
MERGE = {"Content-Type": "application/merge-patch+json"}
AT_ONCE = 16
DEEP_SPEC = '{"image": "x", "a": ' + '{"a":' * 3000 + "1" + "}" * 3001


def crds() -> dict[str, Json]:
    """The CRDs as they are committed, by plural."""
    return {
        kind: yaml.load((CRDS / f"{kind}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) for kind in KINDS
    }


def schema_of(crd: Json) -> Json:
    """The schema of its one version."""
    made: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return made


def loosen(kube: Kube, *, bounds: bool) -> None:
    """Have the apiserver take what a CRD without bounds took, or only what it takes now."""
    for crd in crds().values():
        body = crd if bounds else {**crd, "spec": without_bounds(crd["spec"])}
        kube.replace(body)


class OddObjects:
    """What one seed makes in one namespace."""

    def __init__(self, plane: ControlPlane, *, seed: int, namespace: str) -> None:
        self._cluster = Cluster.from_kubeconfig(plane.kubeconfig())
        self._odd, self._namespace = Odd(seed), namespace
        self.answers: Counter[tuple[str, int]] = Counter()
        """How often the apiserver answered with which code, by kind."""
        self._names: list[tuple[str, str]] = []

    def make(self, count: int, *, loose: bool) -> None:
        """Create so many objects, give them odd statuses, and edit their Jobs and pods."""
        asyncio.run(self._make(count, loose=loose))

    def meddle(self) -> None:
        """Edit what the operator has made, as people with rights to it may."""
        asyncio.run(self._meddle())

    def remove(self) -> None:
        """Delete everything in the namespace."""
        asyncio.run(self._remove())

    async def _make(self, count: int, *, loose: bool) -> None:
        schemas = {kind: schema_of(crd) for kind, crd in crds().items()}
        if loose:
            schemas = {kind: without_bounds(schema) for kind, schema in schemas.items()}
        bodies = [self._body(schemas, index) for index in range(count)]
        async with self._session() as http:
            await self._all(self._create(http, kind, body) for kind, body in bodies)
            statuses = [
                (kind, name, self._odd.of(schemas[kind]["status"]))
                for kind, name in self._names
                if self._odd.chance(0.3)
            ]
            await self._all(self._patch_status(http, kind, name, status) for kind, name, status in statuses)

    def _body(self, schemas: dict[str, Json], index: int) -> tuple[str, Json]:
        odd = self._odd
        kind = odd.random.choice(("taskruns", "taskruns", "taskruns", *KINDS))
        name = f"odd-{index}"
        spec = odd.of(schemas[kind]["spec"])
        if kind == "taskruns":
            spec = self._run_spec(spec)
        if kind == "schedules":
            spec["cron"] = odd.random.choice(("* * * * *", "0 0 30 2 *", "not a cron", "*/7 1-5 * * 1"))
            spec["template"]["spec"] = self._run_spec(spec["template"]["spec"])
        meta: Json = {"name": name, "labels": odd.labels(), "annotations": odd.annotations()}
        if odd.chance(0.1):
            meta["finalizers"] = ["example.com/held"]
        names = {"taskruns": "TaskRun", "tasks": "Task", "queues": "Queue", "schedules": "Schedule"}
        return kind, {"apiVersion": "tidegate.dev/v1alpha1", "kind": names[kind], "metadata": meta, "spec": spec}

    def _run_spec(self, spec: Json) -> Json:
        """Exactly one of taskRef and task; else hardly any would be taken."""
        odd = self._odd
        if odd.chance(0.6):
            spec.pop("taskRef", None)
            spec.setdefault("task", {})["image"] = "busybox"
            if odd.chance(0.8):
                for field in ("podTemplate", "payloadSchema", "envFrom"):
                    spec["task"].pop(field, None)
            spec["task"].pop("entrypoint" if odd.chance(0.5) else "command", None)
        else:
            spec.pop("task", None)
            spec["taskRef"] = {"name": f"odd-{odd.random.randrange(300)}"}
        if odd.chance(0.5):
            spec.pop("suspend", None)
            spec.pop("dependsOn", None)
            spec.pop("startAfter", None)
        return spec

    async def _meddle(self) -> None:
        odd = self._odd
        async with self._session() as http:
            jobs = await self._list(http, f"/apis/batch/v1/namespaces/{self._namespace}/jobs")
            pods = await self._list(http, f"/api/v1/namespaces/{self._namespace}/pods")
            work = []
            for job in jobs:
                meta: Json = {"labels": odd.labels()}
                meta["annotations"] = {
                    "tidegate.dev/task-spec": odd.random.choice(
                        ("{", "[]", "null", "[" * 9000, DEEP_SPEC, odd.text(longest=900))
                    )
                }
                if odd.chance(0.2):
                    meta["ownerReferences"] = None
                path = f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{job['metadata']['name']}"
                work.append(self._send(http, "PATCH", path, {"metadata": meta}, "jobs", headers=MERGE))
            for pod in pods:
                path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
                work.append(
                    self._send(http, "PATCH", f"{path}/status", {"status": self._pod_status()}, "pods", headers=MERGE)
                )
                if odd.chance(0.3):
                    meta = {"labels": odd.labels(), "annotations": odd.annotations(), "ownerReferences": None}
                    work.append(self._send(http, "PATCH", path, {"metadata": meta}, "pods", headers=MERGE))
            await self._all(work)

    def _pod_status(self) -> Json:
        odd = self._odd
        state: Json = odd.random.choice(
            (
                {"terminated": self._end()},
                {"running": {"startedAt": odd.time()}},
                {"waiting": {"reason": odd.text(), "message": odd.text()}},
                {},
            )
        )
        container = {"name": odd.random.choice(("task", "task", "other")), "state": state, "image": odd.text()}
        return {
            "phase": odd.random.choice(("Pending", "Running", "Succeeded", "Failed", "Unknown")),
            "reason": odd.random.choice(("", "Evicted", "DeadlineExceeded", "OutOfcpu", odd.text())),
            "message": odd.text(),
            "startTime": odd.time(),
            "containerStatuses": [{"imageID": "", "ready": False, "restartCount": 0, **container}],
        }

    def _end(self) -> Json:
        odd = self._odd
        messages = (
            '{"retryAfterSeconds": 1767225600000}',
            '{"retryAfterSeconds": 1e999}',
            '{"tidegate.dev/resultRef": {"bytes": -1, "sha256": 5}}',
            "7e45310",
            "[" * 4000,
            odd.text(),
        )
        return {
            "exitCode": odd.random.choice((0, 1, 64, 65, 66, 137, 143, 255, -1, 2**31 - 1)),
            "reason": odd.random.choice(("Error", "OOMKilled", "Completed", odd.text())),
            "message": odd.random.choice(messages),
            "startedAt": odd.time(),
            "finishedAt": odd.time(),
        }

    async def _remove(self) -> None:
        async with self._session() as http:
            for kind in KINDS:
                base = f"/apis/tidegate.dev/v1alpha1/namespaces/{self._namespace}/{kind}"
                items = await self._list(http, base)
                held = [i for i in items if i["metadata"].get("finalizers")]
                await self._all(
                    self._send(http, "PATCH", f"{base}/{i['metadata']['name']}", FREE, kind, headers=MERGE)
                    for i in held
                )
                await self._send(http, "DELETE", base, {"propagationPolicy": "Background"}, kind)
            for base in (
                f"/apis/batch/v1/namespaces/{self._namespace}/jobs",
                f"/api/v1/namespaces/{self._namespace}/pods",
            ):
                options = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
                await self._send(http, "DELETE", base, options, "jobs")

    # Requests

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=self._cluster.ssl_context())
        headers = {"Authorization": f"Bearer {self._cluster.token}"} if self._cluster.token else {}
        return aiohttp.ClientSession(connector=connector, headers=headers)

    async def _all(self, work: Any) -> None:
        await asyncio.gather(*work)

    async def _create(self, http: aiohttp.ClientSession, kind: str, body: Json) -> None:
        path = f"/apis/tidegate.dev/v1alpha1/namespaces/{self._namespace}/{kind}"
        if await self._send(http, "POST", path, body, kind) == 201:
            self._names.append((kind, body["metadata"]["name"]))

    async def _patch_status(self, http: aiohttp.ClientSession, kind: str, name: str, status: Any) -> None:
        path = f"/apis/tidegate.dev/v1alpha1/namespaces/{self._namespace}/{kind}/{name}/status"
        await self._send(http, "PATCH", path, {"status": status}, f"{kind}/status", headers=MERGE)

    async def _send(
        self,
        http: aiohttp.ClientSession,
        method: str,
        path: str,
        body: Any,
        what: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> int:
        async with http.request(
            method,
            self._cluster.server + path,
            data=encode(body),
            headers=headers or {"Content-Type": "application/json"},
        ) as answer:
            await answer.read()
            self.answers[what, answer.status] += 1
            return answer.status

    async def _list(self, http: aiohttp.ClientSession, path: str) -> list[Json]:
        """Metadata only: the bodies may be deeper than can be read."""
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        async with http.get(self._cluster.server + path, headers=accept) as answer:
            page = cast("Json", json_codec.loads(await answer.read()))
            found: list[Json] = page.get("items") or []
            return found


FREE: Json = {"metadata": {"finalizers": None}}


def sound_run(name: str, namespace: str) -> Json:
    """A run of another user."""
    return a_run(name).namespace(namespace).built
