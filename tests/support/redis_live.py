"""A publisher and a subscriber of live events at a Redis Cluster, and which node has what."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from redis.exceptions import RedisError
from tidegate_web.app import make_redis
from tidegate_web.events.channels import EventLog
from tidegate_web.events.hub import Hub
from tidegate_web.settings import WebSettings

from support.redis_cluster import Cluster
from support.redis_users import succeeds
from support.servers import Redis, wait_until

AS_USER = "tidegate:secret@"


@contextmanager
def hub_of(cluster: Cluster) -> Iterator[tuple[EventLog, Hub]]:
    """A publisher and a subscriber, each with a client of its own as in their processes."""
    writing, reading = (make_redis(WebSettings(redis_url=cluster.url(access=AS_USER))) for _ in range(2))
    hub = Hub(redis=reading, room=100)
    hub.start()
    wait_until(hub.connected.is_set, what="the subscription")
    yield EventLog(redis=writing, history=100), hub
    hub.stop()
    writing.close()
    reading.close()


def subscribed_at(cluster: Cluster) -> Redis:
    """The node that the hub is at."""
    for node in cluster.nodes():
        with suppress(RedisError):
            if redis.Redis(port=node.port).pubsub_numpat():
                return node
    raise AssertionError("no node has a subscription")


def project_at(cluster: Cluster, node: Redis, *, begin: str) -> str:
    """The name of a project whose keys are at a node."""
    names = (f"{begin}{number}" for number in range(1000))
    return next(name for name in names if cluster.primary_of(name) is node)


def goes_on(events: EventLog, project: str) -> None:
    """Until an event of a project can be published."""
    wait_until(lambda: succeeds(lambda: events.publish(project, [{"name": "more"}])), what=f"an event of {project}")
