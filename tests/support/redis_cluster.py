"""A real Redis Cluster on loopback: nodes that have the slots in equal shares, and for each of them a replica where one is asked for."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from support.servers import Redis, free_port, wait_until

SLOTS = 16384


@dataclass(frozen=True, kw_only=True)
class Cluster:
    primaries: tuple[Redis, ...]
    replicas: tuple[Redis, ...]

    def url(self, *, access: str = "") -> str:
        """Of all primaries, and of one node that isn't there."""
        nodes = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *(node.port for node in self.primaries)))
        return f"redis+cluster://{access}{nodes}"

    def primary_of(self, key: str) -> Redis:
        """The node that has the slot of a key at the beginning."""
        slot = int(command(self.primaries[0], "CLUSTER KEYSLOT", key))
        return self.primaries[slot * len(self.primaries) // SLOTS]

    def nodes(self) -> tuple[Redis, ...]:
        return self.primaries + self.replicas


def command(node: Redis, *words: object) -> Any:
    """What a node answers to an admin's command."""
    with redis.Redis(port=node.port) as client:
        return client.execute_command(*words)


@contextmanager
def redis_cluster(*, replicas: bool, options: Sequence[str] = ()) -> Iterator[Cluster]:
    """Three nodes with slots. With replicas each loss is made good; without them the slots of a lost node are gone, and the others
    go on."""
    with ExitStack() as stack:
        common = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--databases", "1", *options]
        if not replicas:
            common += ["--cluster-require-full-coverage", "no"]

        def node() -> Redis:
            return stack.enter_context(Redis(options=("--cluster-port", str(free_port()), *common)))

        primaries = tuple(node() for _ in range(3))
        cluster = Cluster(primaries=primaries, replicas=tuple(node() for _ in primaries) if replicas else ())
        _join(cluster)
        yield cluster


def _join(cluster: Cluster) -> None:
    nodes, share = cluster.nodes(), len(cluster.primaries)
    for number, node in enumerate(nodes):
        command(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
    for number, node in enumerate(cluster.primaries):
        begin, end = -(-SLOTS * number // share), -(-SLOTS * (number + 1) // share) - 1
        command(node, "CLUSTER ADDSLOTSRANGE", begin, end)
    bus = command(nodes[0], "CONFIG GET", "cluster-port")["cluster-port"]
    for node in nodes[1:]:
        command(node, "CLUSTER MEET", "127.0.0.1", nodes[0].port, bus)
    wait_until(lambda: all(len(command(node, "CLUSTER NODES")) == len(nodes) for node in nodes), what="an acquaintance")
    for primary, replica in zip(cluster.primaries, cluster.replicas, strict=False):
        command(replica, "CLUSTER REPLICATE", command(primary, "CLUSTER MYID"))
    wait_until(lambda: all(_is_ok(node) for node in nodes), what="the cluster")
    wait_until(lambda: all(_follows(node) for node in cluster.replicas), what="the replicas")


def _is_ok(node: Redis) -> bool:
    return bool(command(node, "CLUSTER INFO")["cluster_state"] == "ok")


def _follows(node: Redis) -> bool:
    return bool(command(node, "INFO", "replication").get("master_link_status") == "up")
