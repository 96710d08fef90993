"""The only module that knows kopf: it gives us the watches and re-lists of our own kinds, and nothing else.

Only `on.event` handlers: every other kind of handler makes kopf write to the objects, and an index makes each object wake
every waiter. Storages that store nothing spare it the computing of a diff base for every event.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import kopf

# The type of an argument of `kopf.operator`, which kopf gives no public name.
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from tidegate_api.names import GROUP, VERSION
from tidegate_api.objects import KubeObject

from tidegate_operator import json_codec
from tidegate_operator.kube.client import PAGE, Cluster
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.metrics import Metrics
from tidegate_operator.state.cache import Cache
from tidegate_operator.watch.lines_ahead import Take, TakeItem, responses_read_ahead

KINDS: Final = ("taskruns", "tasks", "queues", "schedules", "workerpools")
KOPF: Final = Path(kopf.__file__).parent
FAREWELLS: Final = 5
FAREWELL_SECONDS: Final = 1.0
_BOOKMARK: Final = b'{"type":"BOOKMARK"'
_UPSERTS: Final = (b'{"type":"ADDED"', b'{"type":"MODIFIED"')
BACKOFFS: Final = (0.1, 0.2, 0.5, 1, *[2] * 30)
"""Seconds between tries while the apiserver is away: short, and capped, so that work goes on soon after it is back."""


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-seen state: nothing here asks for differences."""

    def build(self, *, body: kopf.Body, extra_fields: object = None, **_: object) -> kopf.BodyEssence:
        """An empty essence."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        """Nothing was stored."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: object) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no handler progress: event handlers have none."""

    def fetch(self, *, key: object, body: kopf.Body) -> None:
        """Nothing was stored."""

    def store(self, *, key: object, record: object, body: kopf.Body, patch: kopf.Patch) -> None:
        """Store nothing."""

    def purge(self, *, key: object, body: kopf.Body, patch: kopf.Patch) -> None:
        """There is nothing to purge."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: object) -> None:
        """Leave the object alone."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Nothing of ours is in it."""
        return essence


class NoMemories(ResourceMemories):
    """Remembers nothing of an object between its events: only daemons and memos, which are not used here, need that."""

    async def recall(
        self, raw_body: Any, *, memobase: Any = None, noticed_by_listing: bool = False, ephemeral: bool = False
    ) -> ResourceMemory:
        """A memory for one event."""
        return await super().recall(raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True)


def open_session(
    cluster: Cluster, *, response_class: type[aiohttp.ClientResponse], on_list: Callable[[str], None]
) -> aiohttp.ClientSession:
    """A session for kopf. `on_list` hears the path of every list that it was answered."""

    async def hear(_: object, __: object, answered: aiohttp.TraceRequestEndParams) -> None:
        if answered.response.status == 200 and not {"watch", "continue"} & answered.url.query.keys():
            on_list(answered.url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(hear)
    token = cluster.token
    if cluster.token_file is not None:
        token = cluster.token_file.read_text(encoding="ascii").strip()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=cluster.ssl_context()),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        trace_configs=[trace],
        response_class=response_class,
    )


def configure_kopf(settings: kopf.OperatorSettings) -> None:
    """kopf as a source of events and nothing more."""
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.consistency_timeout = 0
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = BACKOFFS
    settings.networking.connect_timeout = 5
    settings.watching.connect_timeout = 5
    # A worker keeps its object's last body while it idles, and the first list makes a worker of every object.
    settings.queueing.idle_timeout = 0.1
    # Else it has them all in hand at once, bodies and all.
    settings.watching.chunk_size = PAGE
    # Else kopf has the process killed ten minutes after an error has ended it, although it is started again.
    settings.process.ultimate_exiting_timeout = None


def build_registry(
    cluster: Cluster,
    cache: Cache,
    metrics: Metrics,
    *,
    own_writes: OwnWrites,
    on_list: Callable[[str], None],
) -> kopf.OperatorRegistry:
    """The registrations, in one place."""
    registry = kopf.OperatorRegistry()
    response_class = responses_read_ahead(runs_ahead(cache, metrics, own_writes=own_writes), listed_runs_ahead(cache))

    def listed(path: str) -> None:
        metrics.watch_listed(path.rpartition("/")[2])
        on_list(path)

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.AiohttpSession:
        # Asked again whenever the apiserver answers 401: the kubelet renews the token's file.
        return kopf.AiohttpSession(
            server=cluster.server, aiohttp_session=open_session(cluster, response_class=response_class, on_list=listed)
        )

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: object) -> None:
        configure_kopf(settings)

    for kind in KINDS:
        _register(registry, kind, cache, metrics)
    return registry


def runs_ahead(cache: Cache, metrics: Metrics, *, own_writes: OwnWrites) -> Take:
    """Takes lines that repeat our own writes, and those that say how a TaskRun is.

    That one is gone kopf reports, after all that it still has to hand over of that run. Else a list of it that comes late would
    bring the run back.
    """

    def take(path: str, line: bytes) -> str | bool:
        kind = path.rpartition("/")[2]
        if own_writes.is_echo(line):
            metrics.watch_event(kind)
            return True
        if line.startswith(_BOOKMARK):
            metrics.watch_alive(kind, time.time())
            return False
        if kind != "taskruns" or not line.startswith(_UPSERTS):
            return False
        try:
            event = cast("kopf.RawEvent", json_codec.loads(line))
            body = cast("KubeObject", event["object"])
            version = str(int(body["metadata"]["resourceVersion"]))
        except (ValueError, LookupError, TypeError):
            return False  # whatever it is, kopf says so
        metrics.watch_event(kind)
        cache.upserted(kind, body)
        return version

    return take


def listed_runs_ahead(cache: Cache) -> TakeItem:
    """Takes the TaskRuns of a list. kopf hands them over once more, which changes nothing."""

    def take_item(path: str, item: object) -> None:
        if not path.endswith("/taskruns"):
            return
        try:
            body = cast("KubeObject", item)
            int(body["metadata"]["resourceVersion"])
        except (ValueError, LookupError, TypeError):
            return  # whatever it is, kopf says so
        cache.upserted("taskruns", body)

    return take_item


def _register(registry: kopf.OperatorRegistry, kind: str, cache: Cache, metrics: Metrics) -> None:
    @kopf.on.event(GROUP, VERSION, kind, registry=registry, id=f"see-{kind}")
    async def see(event: kopf.RawEvent, **_: object) -> None:
        metrics.watch_event(kind)
        body = cast("KubeObject", event["object"])
        if event["type"] == "DELETED":
            cache.deleted(kind, body)
        else:
            cache.upserted(kind, body)


async def watch_own_kinds(
    cluster: Cluster,
    cache: Cache,
    metrics: Metrics,
    *,
    namespaces: Collection[str],
    own_writes: OwnWrites,
    stop: asyncio.Event,
    on_list: Callable[[str], None],
    on_spawned: Callable[[], None],
) -> None:
    """Run kopf until `stop` is set. Raises what ends it before: any error of a watch but 410.

    `on_list` is called for every list it makes: kopf never reports what was deleted before one. `on_spawned` is called once kopf
    has put its own handlers of signals in place.
    """
    tasks = await kopf.spawn_tasks(
        registry=build_registry(cluster, cache, metrics, own_writes=own_writes, on_list=on_list),
        stop_flag=stop,
        memories=NoMemories(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        # Else kopf asks for the user's name, which an arbitrary uid in a container hasn't got.
        identity=cast("Any", "tidegate-operator"),
    )
    on_spawned()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _to_its_end(_end_kopf())
    for task in done:
        task.result()


async def _to_its_end(work: Coroutine[object, None, None]) -> None:
    """Wait for `work` also when cancelled meanwhile. A loop that closes cancels all at once, and would wait for kopf for ever."""
    task, cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    task.result()


async def _end_kopf() -> None:
    """Take away all that runs of kopf.

    Its own farewell (`kopf.run_tasks`) takes every task of the process that began after it for its own: it would wait for
    requests of ours and then cancel them. And it can wait for ever, as it cancels a watcher together with its pause-waiter,
    which to the watcher looks like the start of a pause.
    """
    for _ in range(FAREWELLS):
        left = {task for task in asyncio.all_tasks() if _is_kopfs(task)}
        if not left:
            return
        waiters = {task for task in left if task.get_name().startswith("pause-waiter")}
        for task in left - waiters or left:
            task.cancel()
        await asyncio.wait(left - waiters or left, timeout=FAREWELL_SECONDS)
    raise RuntimeError("kopf did not end")


def _is_kopfs(task: "asyncio.Task[object]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and KOPF in Path(code.co_filename).parents
