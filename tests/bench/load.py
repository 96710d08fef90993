"""Load on an apiserver: objects are created as fast as it takes them, or at a steady rate, and followed to their end."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp
from support.builders import a_run
from support.jobs import a_job
from tidegate_api.names import API_VERSION, MANAGED_BY_LABEL, Phase
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.policies.resolution import resolve

Json = dict[str, Any]

CREATORS: Final = 16
"""Creations in flight at once in a drain."""

PATIENCE: Final = 300.0
"""Seconds until what has not ended by then counts as lost."""

ACTOR: Final = "bench"
UID: Final = "00000000-0000-4000-8000-000000000000"


class BenchError(Exception):
    """The measurement is worth nothing; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One way to have a pod run to its end."""

    kind: str
    """Of namespaces: in a name."""
    group: str
    plural: str
    make: Callable[[str], Json]
    succeeded: Callable[[Json], bool | None]
    """None while it goes on."""
    statuses: tuple[Json, ...] = ()
    """What the client itself writes as the object's status after it has created it, where no controller does."""

    def path(self, namespace: str) -> str:
        """Where its objects are."""
        return f"/apis/{self.group}/namespaces/{namespace}/{self.plural}"


def _job(name: str) -> Json:
    container = {"name": "task", "image": "busybox", "command": ["true"]}
    pod = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _same_job(name: str) -> Json:
    """What the operator makes of such a run, but without an owner and not to be taken for one of its own."""
    run = _run(name)
    run["metadata"] |= {"uid": UID, "namespace": ""}
    task = run["spec"]["task"]
    job = a_job(run, resolve(task, run["spec"]))
    del job["metadata"]["ownerReferences"], job["metadata"]["namespace"]
    for labelled in (job, job["spec"]["template"]):
        del labelled["metadata"]["labels"][MANAGED_BY_LABEL]
    return job | {"metadata": job["metadata"] | {"name": name}}


def _job_succeeded(job: Json) -> bool | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    ends = {c["type"] for c in conditions if c["status"] == "True"} & {"Complete", "Failed"}
    return "Complete" in ends if ends else None


def _run(name: str) -> Json:
    made = a_run(name).built
    del made["metadata"]["namespace"]
    return made


def run_succeeded(run: Json) -> bool | None:
    """Of a TaskRun."""
    phase = Phase((run.get("status") or {}).get("phase") or Phase.PENDING)
    return phase is Phase.SUCCEEDED if phase.terminal else None


PLAIN_JOBS: Final = System(kind="plain", group="batch/v1", plural="jobs", make=_job, succeeded=_job_succeeded)
SAME_JOBS: Final = System(kind="same", group="batch/v1", plural="jobs", make=_same_job, succeeded=_job_succeeded)
TIDEGATE: Final = System(kind="tidegate", group=API_VERSION, plural="taskruns", make=_run, succeeded=run_succeeded)


@dataclass(slots=True)
class Seen:
    """Moments (seconds since the epoch) by object: creation answered, end seen by a watch."""

    created: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    begin: float = 0.0

    @property
    def per_second(self) -> float:
        """From the first creation to the last end."""
        return len(self.ended) / (max(self.ended.values()) - self.begin)

    @property
    def durations(self) -> list[float]:
        """Seconds from creation to end."""
        return [self.ended[name] - at for name, at in self.created.items()]


class Load:
    """A client of the apiserver with a user of its own, so that its requests aren't counted as another's."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=self._plane.ca_file)
        self._http = aiohttp.ClientSession(
            base_url=self._plane.url,
            headers={"Authorization": f"Bearer {self._plane.token(ACTOR)}"},
            connector=aiohttp.TCPConnector(limit=64, ssl=context),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.close()

    async def drain(self, system: System, namespace: str, *, runs: int) -> Seen:
        """Create `runs` objects as fast as they are taken, and wait until all have ended."""
        async with self._following(system, namespace, runs) as (seen, all_ended):
            seen.begin = time.time()
            await self.create(system, namespace, range(runs), seen)
            await all_ended()
        return seen

    async def create(self, system: System, namespace: str, numbers: Iterable[int], seen: Seen | None = None) -> None:
        """Create objects as fast as they are taken, and no more."""
        slots, noted = asyncio.Semaphore(CREATORS), seen or Seen()

        async def create(i: int) -> None:
            async with slots:
                await self._create(system, namespace, f"run-{i:05}", noted)

        await asyncio.gather(*(create(i) for i in numbers))

    async def pace(self, system: System, namespace: str, *, rate: float, seconds: float) -> Seen:
        """Create objects at a steady rate, however long each takes, and wait until all have ended."""
        runs = int(rate * seconds)
        async with self._following(system, namespace, runs) as (seen, all_ended):
            seen.begin = time.time()
            creating = []
            for i in range(runs):
                await asyncio.sleep(max(0.0, seen.begin + i / rate - time.time()))
                creating.append(asyncio.create_task(self._create(system, namespace, f"run-{i:05}", seen)))
            await asyncio.gather(*creating)
            await all_ended()
        return seen

    async def wait_for_jobs(self, namespace: str, *, run: str, seconds: float) -> None:
        """Until there is a Job of the run."""
        deadline = time.monotonic() + seconds
        query = {"labelSelector": f"tidegate.dev/run={run}"}
        while time.monotonic() < deadline:
            async with self.session.get(PLAIN_JOBS.path(namespace), params=query) as answer:
                if (await answer.json()).get("items"):
                    return
            await asyncio.sleep(0.1)
        raise BenchError(f"there is no Job of {run} after {seconds:.0f} s")

    async def _create(self, system: System, namespace: str, name: str, seen: Seen) -> None:
        async with self.session.post(system.path(namespace), json=system.make(name)) as answer:
            if answer.status != 201:
                raise BenchError(f"{name} was refused: {answer.status} {await answer.text()}")
            seen.created[name] = time.time()
        headers = {"Content-Type": "application/merge-patch+json"}
        for status in system.statuses:
            url = f"{system.path(namespace)}/{name}/status"
            async with self.session.patch(url, json={"status": status}, headers=headers) as answer:
                if answer.status != 200:
                    raise BenchError(f"a status of {name} was refused: {answer.status} {await answer.text()}")

    @asynccontextmanager
    async def _following(
        self, system: System, namespace: str, runs: int
    ) -> AsyncIterator[tuple[Seen, Callable[[], Awaitable[None]]]]:
        """Watch the namespace from now on. Gives what is seen, and a wait until `runs` objects have ended."""
        seen, done = Seen(), asyncio.Event()

        async def all_ended() -> None:
            waiting = asyncio.create_task(done.wait())
            await asyncio.wait({waiting, watching}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            if not done.is_set():
                waiting.cancel()
                raise BenchError(
                    f"{len(seen.ended)} of {runs} objects of {system.plural} had ended after {PATIENCE:.0f} s"
                )

        async with self.session.get(system.path(namespace), params={"limit": "1"}) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        watching = asyncio.create_task(self._watch(system, namespace, version, runs, seen, done))
        try:
            yield seen, all_ended
        finally:
            watching.cancel()

    async def _watch(
        self, system: System, namespace: str, version: str, runs: int, seen: Seen, done: asyncio.Event
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        # The apiserver may end a watch at any time, and does so when a CRD was applied a moment ago.
        while not done.is_set():
            params = {"watch": "1", "resourceVersion": version}
            async with self.session.get(
                system.path(namespace), params=params, timeout=timeout, read_bufsize=1 << 22
            ) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise BenchError(f"the watch broke: {event['object'].get('message')}")
                    body = event["object"]
                    version = body["metadata"]["resourceVersion"]
                    name, succeeded = body["metadata"]["name"], system.succeeded(body)
                    if succeeded is False:
                        raise BenchError(f"{name} failed: {json.dumps(body.get('status'))}")
                    if succeeded and name not in seen.ended:
                        seen.ended[name] = time.time()
                        if len(seen.ended) == runs:
                            done.set()

    @property
    def session(self) -> aiohttp.ClientSession:
        """With the apiserver's address and the client's token."""
        assert self._http is not None
        return self._http
