"""What a process checks callers with, and what signing in takes: created once a process."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from redis import Redis
from sqlalchemy import Engine

from tidegate_web.auth.group_check import GroupCheck
from tidegate_web.auth.mail import Mailer
from tidegate_web.auth.memory import CallerMemory
from tidegate_web.auth.passwords import Passwords
from tidegate_web.auth.pool_tokens import PoolTokens
from tidegate_web.auth.rate_limit import Limit, RateLimiter
from tidegate_web.auth.run_tokens import RunTokens
from tidegate_web.auth.throttle import Throttle
from tidegate_web.cluster.client import Cluster
from tidegate_web.settings import WebSettings
from tidegate_web.shared.batcher import Batcher
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.sealing import Sealer
from tidegate_web.store.engine import at_once, is_unavailable
from tidegate_web.store.queries import keys
from tidegate_web.store.queries.keys import GoodKeyRow

REFUSED_TOKENS = Limit(requests=60, seconds=60)
"""Tokens that open nothing, which one address may have looked at by the apiserver."""


@dataclass(frozen=True, kw_only=True)
class AuthParts:
    """Passwords, sessions, keys and tokens, and the limits on trying them."""

    throttle: Throttle
    hasher: Passwords
    group_check: GroupCheck
    callers: CallerMemory
    mailer: Mailer
    sealer: Sealer
    run_tokens: RunTokens
    limits: RateLimiter
    good_key: Batcher[bytes, GoodKeyRow | None]
    """The API key of a hash, None when it may not be used."""


def make_auth(
    settings: WebSettings, *, engine: Engine, redis: Redis, cluster: Cluster, clock: Clock, hasher: Passwords | None
) -> AuthParts:
    """Nothing is connected to before it is used."""
    callers = CallerMemory(redis=redis, seconds=settings.offline_grace_seconds)
    sealer = Sealer(settings.secret_key.get_secret_value())
    limit = Limit(requests=settings.rate_limit_requests, seconds=settings.rate_limit_seconds)
    return AuthParts(
        throttle=Throttle(redis=redis),
        hasher=hasher or Passwords(at_once=settings.password_hashes),
        group_check=GroupCheck(engine=engine, settings=settings, sealer=sealer, callers=callers, now=clock.now),
        callers=callers,
        mailer=Mailer(settings),
        sealer=sealer,
        run_tokens=RunTokens(
            cluster=cluster,
            clock=clock,
            pools=PoolTokens(cluster=cluster, clock=clock, keys=settings.run_token_keys_parsed),
            refusals=RateLimiter(redis=redis, limit=REFUSED_TOKENS),
        ),
        limits=RateLimiter(redis=redis, limit=limit),
        good_key=Batcher(partial(_good_keys, engine, clock), all_alike=is_unavailable),
    )


def _good_keys(engine: Engine, clock: Clock, hashes: Sequence[bytes]) -> list[GoodKeyRow | None]:
    with at_once(engine) as connection:
        found = keys.good(connection, key_hashes=set(hashes), now=clock.now())
    return [found.get(each) for each in hashes]
