"""The client of a Redis Cluster, with what the rest of the app expects of one of a single server.

redis-py's own connects when it is made, tries every node for each command while none answers, and reports that by errors that are no
`RedisError`. This one connects when it is used, gives up for a second once no node has answered, and then begins again with the nodes
that the settings name: those that were found since may have other addresses after a restart.

A cluster passes what is published to all of its nodes, so a subscription is at any of them ([why not sharded
channels](../../../docs/decisions/2026-11-28-redis-cluster.md)). It has a connection of its own: a refresh of the topology renews
those of the commands, and what is published meanwhile would be missed without a sign.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

AWAY_SECONDS: Final = 1.0
"""So long the nodes aren't asked again after none of them answered."""
PROBE: Final = "tg:check"


class ClusterClient(Redis):
    """Each command goes to the node that has its key's slot."""

    def __init__(self, nodes: Sequence[tuple[str, int]], **options: Any) -> None:
        host, port = nodes[0]
        super().__init__(host=host, port=port)  # never connects: what is sent goes through `execute_command`
        self._nodes = nodes
        self._options = options
        self._lock = threading.Lock()
        self._made: RedisCluster | None = None
        self._away: tuple[float, RedisError] = (0.0, RedisError())

    def execute_command(self, *args: Any, **options: Any) -> Any:
        cluster = self._cluster()
        try:
            return cluster.execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            raise self._lost(error) from error

    def delete(self, *names: Any) -> Any:
        """Delete keys, of whatever slots."""
        return sum(self.execute_command("DEL", name) for name in names)

    def ping(self, **_: Any) -> Any:
        """Whether keys are served: each node answers PING, also of a cluster that has lost some of its slots."""
        self.exists(PROBE)
        return True

    def pubsub(self, **options: Any) -> PubSub:
        """A subscription at one of the nodes that are there now."""
        cluster = self._cluster()
        try:
            cluster.nodes_manager.initialize()
        except RedisClusterException as error:
            raise self._lost(error) from error
        node = random.choice(cluster.get_nodes())  # type: ignore[no-untyped-call]  # noqa: S311 - spreads, hides nothing
        return _Subscription(
            Redis(host=node.host, port=node.port, retry=Retry(NoBackoff(), 0), **self._options), options
        )

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()
        super().close()

    def _cluster(self) -> RedisCluster:
        with self._lock:
            if self._made is not None:
                return self._made
            until, problem = self._away
            if time.monotonic() < until:
                raise type(problem)(*problem.args)
            found: list[RedisError] = []
            # One by one: of several nodes redis-py reports what the last one answered, which may be no more than that it is away.
            for host, port in random.sample(self._nodes, len(self._nodes)):
                try:
                    self._made = self._connect(host, port)
                except RedisClusterException as error:
                    found.append(_reason(error))
                else:
                    return self._made
            problem = min(found, key=lambda each: not isinstance(each, ResponseError | AuthenticationError))
            self._away = (time.monotonic() + AWAY_SECONDS, problem)
            raise problem

    def _connect(self, host: str, port: int) -> RedisCluster:
        """By this node, which names the others."""
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port)],  # type: ignore[no-untyped-call]
            retry=Retry(NoBackoff(), 1),
            reinitialize_steps=1,  # a slot that has moved is a failover more often than not: others have moved with it
            **self._options,
        )

    def _lost(self, error: RedisClusterException) -> RedisError:
        """No node answers, or none has the slot: begin again with those of the settings."""
        found = _reason(error)
        with self._lock:
            made, self._made = self._made, None
            self._away = (time.monotonic() + AWAY_SECONDS, found)
        if made is not None:
            made.close()
        return found


class _Subscription(PubSub):
    """One that has its client for itself: a client that isn't used any more closes its connections."""

    def __init__(self, client: Redis, options: dict[str, Any]) -> None:
        super().__init__(client.connection_pool, **options)
        self._client = client

    def close(self) -> None:
        super().close()
        self._client.close()


def _reason(error: RedisClusterException) -> RedisError:
    """What a node answered, or why none did."""
    for each in _chain(error):
        if isinstance(each, RedisError):
            return each
    return RedisConnectionError(str(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def shared_slot(redis: Redis, name: str) -> str:
    """Part of the names of keys that one script uses: a cluster puts all that have it into one slot. On one server the name is as it
    always was, and so is what older versions have written."""
    return f"{{{name}}}" if isinstance(redis, ClusterClient) else name
