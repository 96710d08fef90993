"""How the operator, the mirror, Postgres, Redis and the cluster are: for the health page and ``/api/v1/health``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NotRequired

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import TypedDict

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.health.redis_rights import missing_rights
from tidegate_web.services import Services
from tidegate_web.shared.times import Time, rfc3339
from tidegate_web.store import schema
from tidegate_web.store.advisory_locks import LEADER_LOCK

OPERATOR = "Operator"
SLACK_SECONDS = 5.0
"""Beyond the duration of a Lease: its times are in whole seconds, and apiservers of one cluster have clocks of their own."""


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """One thing that we lean on."""

    name: str
    status: str
    detail: str
    leader: str | None = None
    """Who does the work, of those of whom one leads: the operator's pod."""
    heard_at: Time | None = None
    """When that one was last heard of."""


class DependencyAnswer(TypedDict):
    """One thing that we lean on."""

    name: str
    status: str
    detail: str
    leader: NotRequired[str | None]
    heardAt: NotRequired[Time | None]


def as_json(one: Dependency) -> DependencyAnswer:
    """As it is answered: a leader where there is one to be named."""
    answer: DependencyAnswer = {"name": one.name, "status": one.status, "detail": one.detail}
    if one.name == OPERATOR:
        answer |= {"leader": one.leader, "heardAt": one.heard_at}
    return answer


def dependencies(made: Services) -> list[Dependency]:
    """Ask each of them now."""
    return [
        _operator(made),
        _ask("Postgres", "the archive: runs, logs, people", lambda: _postgres(made)),
        _ask("Mirror", "copies runs and logs into Postgres", lambda: _mirror(made)),
        _ask("Redis", "live updates", lambda: _redis(made)),
        _ask("Kubernetes", "where runs run", lambda: _cluster(made)),
    ]


def _ask(name: str, purpose: str, ask: Callable[[], str]) -> Dependency:
    try:
        detail = ask()
    except (SQLAlchemyError, RedisError, ClusterError, OSError) as error:
        return Dependency(name=name, status="down", detail=f"doesn't answer ({type(error).__name__}); {purpose}")
    if detail.startswith("!"):
        return Dependency(name=name, status="degraded", detail=detail[1:])
    return Dependency(name=name, status="up", detail=detail)


def _operator(made: Services) -> Dependency:
    """By its Lease, which a leader renews every few seconds."""
    purpose = "starts runs and decides what becomes of them"
    try:
        lease = made.runs.leader.lease()
    except ClusterError as error:
        detail = f"its Lease can't be read ({error.status or 'no answer'}); {purpose}"
        return Dependency(name=OPERATOR, status="degraded", detail=detail)
    if lease is None or not lease.holder:
        return Dependency(name=OPERATOR, status="down", detail=f"no operator leads; {purpose}")
    heard = rfc3339(lease.renewed)
    silent = lease.silent(made.clock.now())
    if silent is None or silent > lease.seconds + SLACK_SECONDS:
        detail = f"{lease.holder} led and was last heard of at {heard or 'an unknown time'}; {purpose}"
        return Dependency(name=OPERATOR, status="down", detail=detail, leader=lease.holder, heard_at=heard)
    if lease.set_aside:
        detail = f"{lease.holder} leads; {lease.set_aside} objects are set aside (condition SetAside, and the operator's log)"
        return Dependency(name=OPERATOR, status="degraded", detail=detail, leader=lease.holder, heard_at=heard)
    return Dependency(name=OPERATOR, status="up", detail=f"{lease.holder} leads", leader=lease.holder, heard_at=heard)


def _postgres(made: Services) -> str:
    with made.engine.connect() as connection:
        version = connection.execute(text("SHOW server_version")).scalar_one()
        ours = schema.current(connection)
    if ours != schema.head():
        return f"!schema {ours or 'not made'}, this version wants {schema.head()}"
    return f"Postgres {str(version).split()[0]}, schema {ours}"


def _mirror(made: Services) -> str:
    with made.engine.connect() as connection:
        # A 64-bit advisory lock shows as its upper and lower half.
        held = connection.execute(
            text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
                " AND ((classid::bigint << 32) | objid::bigint) = :key"
            ),
            {"key": LEADER_LOCK},
        ).scalar_one()
        waiting = connection.execute(text("SELECT count(*) FROM outbox")).scalar_one()
    if not held:
        return "!no mirror is at work: pages show the state it left"
    return f"at work, {waiting} events to publish"


def _redis(made: Services) -> str:
    if missing := missing_rights(made.redis):
        return f"!its user's rights (ACL) lack {', '.join(missing)}; live updates"
    info = made.redis.info("server")
    return f"Redis {info['redis_version']}" if isinstance(info, dict) else "answers"


def _cluster(made: Services) -> str:
    version = made.cluster.request("GET", "/version", timeout=5)
    return f"Kubernetes {version.get('gitVersion', '')}"
