"""A Redis Cluster with replicas loses a node: another takes over, with what was published before."""

from support.redis_cluster import redis_cluster
from support.redis_live import goes_on, hub_of, project_at
from support.redis_users import OF_CLUSTERS, RIGHTS, USER, next_of
from support.servers import ensure_servers, wait_until
from tidegate_web.events.channels import EVENTS_CHANNEL
from tidegate_web.events.messages import Message


def test_a_replica_takes_over_and_all_projects_go_on() -> None:
    ensure_servers()
    with (
        redis_cluster(replicas=True, options=(*USER, *RIGHTS, *OF_CLUSTERS)) as cluster,
        hub_of(cluster) as (events, hub),
    ):
        lost = cluster.primaries[1]
        projects = [project_at(cluster, node, begin="p") for node in cluster.primaries]
        numbers = {}
        for project in projects:
            events.publish(project, [{"name": "before"}])
            numbers[project] = events.last(project)
        lost.stop()
        for project in projects:
            goes_on(events, project)
        wait_until(hub.connected.is_set, what="a subscription")
        for project in projects:
            assert [number for number, _ in events.after(project, numbers[project]) or []][:1] == [numbers[project] + 1]
            with hub.subscribe(f"{EVENTS_CHANNEL}{project}") as stream:
                goes_on(events, project)
                assert isinstance(next_of(stream), Message)
