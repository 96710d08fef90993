"""Redis in other forms than one server with a password: a user with the least rights, and a service that Sentinels watch."""

from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError
from support import tls
from support.redis_users import RIGHTS, USER, next_of, succeeds
from support.sentinel import SERVICE, Sentinel, replica_of
from support.servers import Redis, ensure_servers, free_port, wait_until
from support.web import Parts, Stack, finish, until
from tidegate_web.app import make_redis
from tidegate_web.events.channels import EVENTS_CHANNEL, EventLog
from tidegate_web.events.hub import Hub, Signal
from tidegate_web.events.messages import Message
from tidegate_web.health.redis_rights import missing_rights
from tidegate_web.health.store_metrics import StoreMetrics
from tidegate_web.settings import WebSettings


def test_a_user_with_the_least_rights_is_refused_nothing(stack: Stack) -> None:
    with Redis(options=(*USER, *RIGHTS)) as server:
        url = f"redis://tidegate@127.0.0.1:{server.port}/0"
        changes = {"redis_url": url, "redis_password": "secret"}
        parts: Parts = stack.parts("web", **changes)
        stack.mirror(**changes)
        admin = redis.Redis(port=server.port)
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
        assert made.events.last(stack.project)
        answer: Any = me.client.get("/api/v1/health").json
        health = {each["name"]: each["status"] for each in answer["items"]}
        assert health["Redis"] == "up"
        assert {key.split(b":")[1] for key in admin.scan_iter()} >= {b"seq", b"history", b"rate", b"caller"}
        assert admin.acl_log() == []
        with pytest.raises(RedisError):
            make_redis(WebSettings(redis_url=url, redis_password="another")).ping()


@pytest.mark.parametrize("right", RIGHTS)
def test_a_right_that_the_user_lacks_is_named(right: str) -> None:
    with Redis(options=(*USER, *(each for each in RIGHTS if each != right))) as server:
        client = make_redis(WebSettings(redis_url=f"redis://tidegate:secret@127.0.0.1:{server.port}/1"))
        named = missing_rights(client)
        client.close()
        assert named
        assert all(named_by(right) in each for each in named)


def named_by(right: str) -> str:
    """What the sentence has of a right: the command, or the pattern but for its star."""
    return right.lstrip("+~&").rstrip("*").replace("|", " ")


def test_health_and_the_log_say_which_rights_the_user_lacks(
    stack: Stack, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with Redis(options=(*USER, *RIGHTS, "-xadd", "-psubscribe")) as server:
        parts: Parts = stack.parts("web", redis_url=f"redis://tidegate:secret@127.0.0.1:{server.port}/0")
        answer: Any = parts.sign_in().client.get("/api/v1/health").json
        health = {each["name"]: each for each in answer["items"]}
        assert health["Redis"]["status"] == "degraded"
        assert "rights (ACL) lack xadd, psubscribe" in health["Redis"]["detail"]
        made = parts.services
        stores = StoreMetrics(registry=CollectorRegistry(), engine=made.engine, redis=made.redis)
        said: list[str] = []

        def warned() -> bool:
            said.append(capsys.readouterr().out)  # there or in caplog, as another test has set logging up or not
            return "xadd, psubscribe" in "".join(said) + caplog.text

        stores.start()
        wait_until(warned, what="the warning")
        stores.stop()


def test_streams_hear_of_a_connection_that_broke_also_when_the_server_is_there_at_once() -> None:
    ensure_servers()
    with Redis() as server, make_redis(WebSettings(redis_url=server.url())) as client:
        hub = Hub(redis=client, room=10)
        hub.start()
        wait_until(hub.connected.is_set, what="the subscription")
        with hub.subscribe(f"{EVENTS_CHANNEL}p") as stream, redis.Redis(port=server.port) as admin:
            admin.execute_command("CLIENT KILL TYPE pubsub")
            assert next_of(stream) is Signal.BROKEN
            wait_until(hub.connected.is_set, what="another subscription")
            EventLog(redis=client, history=10).publish("p", [{"name": "after"}])
            assert isinstance(next_of(stream), Message)
        hub.stop()


def test_events_go_on_at_the_server_that_sentinels_make_the_next() -> None:
    ensure_servers()
    with Redis() as master, replica_of(master) as replica, Sentinel(master) as sentinel:
        at_replica = redis.Redis(port=replica.port)
        wait_until(lambda: at_replica.info("replication")["master_link_status"] == "up", what="the replica")
        at_sentinel = redis.Redis(port=sentinel.port)
        wait_until(lambda: bool(at_sentinel.sentinel_slaves(SERVICE)), what="its discovery")
        away = f"127.0.0.1:{free_port()}"  # another Sentinel, which is gone
        client = make_redis(WebSettings(redis_url=sentinel.url().replace("://", f"://{away},")))
        events, hub = EventLog(redis=client, history=100), Hub(redis=client, room=10)
        hub.start()
        wait_until(hub.connected.is_set, what="the subscription")
        with hub.subscribe(f"{EVENTS_CHANNEL}p") as stream:
            events.publish("p", [{"name": "before"}])
            first = next_of(stream)
            assert isinstance(first, Message)
            master.stop()
            assert next_of(stream) is Signal.BROKEN
            wait_until(lambda: succeeds(lambda: events.publish("p", [{"name": "in between"}])), what="another server")
            wait_until(hub.connected.is_set, what="the subscription to that")
            events.publish("p", [{"name": "after"}])
            assert isinstance(next_of(stream), Message)
            assert at_replica.info("replication")["role"] == "master"
        hub.stop()
        client.close()


def test_sentinels_and_their_service_are_asked_over_tls_with_a_password_each(tmp_path: Path) -> None:
    ensure_servers()
    right, wrong = tls.make_authority(tmp_path / "right"), tls.make_authority(tmp_path / "wrong")
    shown = tls.server_certificate(right)
    user = (*USER, *RIGHTS)
    with (
        Redis(certificate=shown, options=user) as master,
        Sentinel(master, certificate=shown, authority=right.ca, password="hush") as sentinel,
    ):

        def ping(ca_file: Path, own: str, of_sentinels: str) -> object:
            place = f"127.0.0.1:{sentinel.port}/{SERVICE}/0?sentinel_password={of_sentinels}"
            url = f"rediss+sentinel://tidegate@{place}"
            with make_redis(WebSettings(redis_url=url, redis_password=own, ca_file=ca_file)) as client:
                return client.ping()

        wait_until(lambda: succeeds(lambda: ping(right.ca, "secret", "hush")), what="the service")
        for asked in ((right.ca, "another", "hush"), (right.ca, "secret", "another"), (wrong.ca, "secret", "hush")):
            with pytest.raises(RedisError):
                ping(*asked)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel:///tidegate",
        "redis+sentinel://a:1,b:2",
        "redis+cluster://",
        "redis+cluster://a:1,",
        "redis+cluster://a/1",
    ],
)
def test_an_address_of_sentinels_or_a_cluster_that_lacks_a_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="TIDEGATE_REDIS_URL"):
        make_redis(WebSettings(redis_url=url))
