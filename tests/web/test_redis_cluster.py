"""A Redis Cluster of real nodes: what is published reaches streams whatever node it came by, and the loss of a node is survived."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import RedisError
from sqlalchemy import insert
from support.redis_cluster import Cluster, command, redis_cluster
from support.redis_live import AS_USER, goes_on, hub_of, project_at, subscribed_at
from support.redis_users import OF_CLUSTERS, RIGHTS, USER, next_of
from support.servers import ensure_servers, wait_until
from support.web import Parts, Stack, finish, make_quarantine, until
from tidegate_web.app import make_redis
from tidegate_web.auth.attempt_limits import AttemptLimit
from tidegate_web.auth.throttle import Throttle
from tidegate_web.events.channels import EVENTS_CHANNEL, EventLog
from tidegate_web.events.hub import Signal
from tidegate_web.events.messages import Message
from tidegate_web.health.redis_rights import missing_rights
from tidegate_web.mirror.publisher import Publisher
from tidegate_web.settings import WebSettings
from tidegate_web.store.models import Outbox


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Three of them, which no test breaks."""
    ensure_servers()
    with redis_cluster(replicas=False, options=(*USER, *RIGHTS, *OF_CLUSTERS)) as cluster:
        yield cluster


def test_all_of_the_app_goes_on_with_a_cluster_and_a_user_with_the_least_rights(stack: Stack, nodes: Cluster) -> None:
    changes = {"redis_url": nodes.url(access="tidegate@"), "redis_password": "secret"}
    parts: Parts = stack.parts("web", **changes)
    stack.mirror(**changes)
    made = parts.services
    made.hub.start()
    wait_until(made.hub.connected.is_set, what="the subscription")
    me = parts.sign_in()
    assert parts.key("operator").get("runs").status_code == 200
    with made.hub.subscribe(f"{EVENTS_CHANNEL}{stack.project}") as stream:
        stack.runs.create("seen")
        until(parts, "seen", lambda found: found is not None)
        assert isinstance(next_of(stream), Message)
    finish(stack, "seen")
    until(parts, "seen", lambda found: found.phase == "Succeeded")
    last = made.events.last(stack.project)
    assert last
    assert made.events.after(stack.project, last) == []
    answer: Any = me.client.get("/api/v1/health").json
    assert {each["name"]: each["status"] for each in answer["items"]}["Redis"] == "up"
    admins = [redis.Redis(port=node.port) for node in nodes.primaries]
    keys = {key.split(b":")[1] for admin in admins for key in admin.scan_iter()}
    assert keys >= {b"seq", b"history", b"rate", b"caller"}
    assert [admin.acl_log() for admin in admins] == [[], [], []]


def test_keys_that_one_script_uses_are_at_one_node_and_many_are_deleted_at_once(nodes: Cluster) -> None:
    client = make_redis(WebSettings(redis_url=nodes.url(access=AS_USER)))
    limits = [AttemptLimit(key=f"k{number}", free=1, window=60, longest_wait=0) for number in range(20)]
    throttle = Throttle(redis=client)
    assert throttle.take(limits) == 0
    assert throttle.take(limits) > 0
    assert Throttle(redis=client).take(limits) > 0, "another process counts with it"
    throttle.succeeded(limits)
    names = [f"tg:caller:{number}" for number in range(20)]
    for name in names:
        client.set(name, "1")
    assert client.delete(*names) == len(names)
    events = EventLog(redis=client, history=100)
    events.publish("p", [{"n": 1}, {"n": 2}])
    first = events.last("p") - 1
    assert [number for number, _ in events.after("p", first) or []] == [first + 1]
    events.forget("p")
    assert events.last("p") == 0
    client.close()


@pytest.mark.parametrize("right", [right for right in OF_CLUSTERS if right != "+asking"])  # needed while slots move
def test_a_right_that_a_cluster_needs_and_its_user_lacks_is_named(nodes: Cluster, right: str) -> None:
    for node in nodes.nodes():
        command(node, "ACL SETUSER", "few", "reset", "on", ">secret", *RIGHTS, *OF_CLUSTERS, right.replace("+", "-"))
    client = make_redis(WebSettings(redis_url=nodes.url(access="few:secret@")))
    name = right.removeprefix("+").replace("|", " ")
    with pytest.raises(RedisError, match=name.replace(" ", ".")):
        client.get("tg:x")
    assert missing_rights(client) == [name]
    client.close()


def test_a_wrong_password_is_reported_as_such(nodes: Cluster) -> None:
    with pytest.raises(RedisError, match="invalid username-password"):
        make_redis(WebSettings(redis_url=nodes.url(access="tidegate:wrong@"))).ping()


def test_three_nodes_survive_the_loss_of_the_one_that_the_stream_is_at() -> None:
    ensure_servers()
    with (
        redis_cluster(replicas=False, options=(*USER, *RIGHTS, *OF_CLUSTERS)) as cluster,
        hub_of(cluster) as (events, hub),
    ):
        lost = subscribed_at(cluster)
        there = project_at(cluster, lost, begin="lost")
        others = [project_at(cluster, node, begin="kept") for node in cluster.primaries if node is not lost]
        with (
            hub.subscribe(f"{EVENTS_CHANNEL}{there}") as at_lost,
            hub.subscribe(f"{EVENTS_CHANNEL}{others[0]}") as kept,
        ):
            for project, stream in ((there, at_lost), (others[0], kept)):
                events.publish(project, [{"name": "before"}])
                assert isinstance(next_of(stream), Message)
            lost.stop()
            assert next_of(kept) is Signal.BROKEN
            wait_until(hub.connected.is_set, what="the subscription at another node")
            for project in others:
                goes_on(events, project)
            assert isinstance(next_of(kept), Message)
            with pytest.raises(RedisError):
                events.publish(there, [{"name": "after"}])
            lost.start()
            goes_on(events, there)


def test_events_that_wait_for_a_lost_node_hold_up_those_of_no_other(stack: Stack) -> None:
    with redis_cluster(replicas=False, options=(*USER, *RIGHTS, *OF_CLUSTERS)) as cluster:
        client = make_redis(WebSettings(redis_url=cluster.url(access=AS_USER)))
        events, lost = EventLog(redis=client, history=100), cluster.primaries[0]
        there, kept = (project_at(cluster, node, begin="p") for node in cluster.primaries[:2])
        goes_on(events, there)
        lost.stop()
        parts = stack.parts("web")
        with parts.engine.begin() as connection:
            for project in (there, kept):
                connection.execute(insert(Outbox).values(project=project, event={"name": "of a run"}))
        stop = threading.Event()
        publisher = Publisher(engine=parts.engine, events=events, quarantine=make_quarantine(), stop=stop)
        publisher.start()

        def waiting() -> set[str]:
            return {row.project for row in parts.rows("SELECT project FROM outbox")}

        wait_until(lambda: waiting() == {there}, what="the event at the node that is left")
        assert events.last(kept)
        lost.start()
        wait_until(lambda: waiting() == set(), what="the event of the node that is back")
        stop.set()
        publisher.join()
        client.close()
