"""Callers that were seen lately, kept in Redis for the time when Postgres is away.

Postgres is asked first, always: what was revoked there is revoked at once. Only while it doesn't answer is the last
answer honoured, for as long as the settings say, and what was revoked meanwhile is forgotten here as well.
"""

import json

from redis import Redis
from redis.exceptions import RedisError

from tidegate_web.auth.caller import Caller


class CallerMemory:
    """The last answer about each session and key, by the hash of its token."""

    def __init__(self, *, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds

    @staticmethod
    def _key(token_hash: bytes) -> str:
        return f"tg:caller:{token_hash.hex()}"

    def keep(self, token_hash: bytes, caller: Caller) -> None:
        """Remember a good one."""
        try:
            self._redis.set(self._key(token_hash), json.dumps(caller.as_json()), ex=self._seconds)
        except RedisError:
            return

    def recall(self, token_hash: bytes) -> Caller | None:
        """The last answer; None when there is none, or nobody to ask."""
        try:
            kept = self._redis.get(self._key(token_hash))
            return None if not isinstance(kept, bytes) else Caller.from_json(json.loads(kept))
        except (RedisError, ValueError, KeyError, IndexError, TypeError):
            return None

    def forget(self, *token_hashes: bytes) -> None:
        """These are revoked."""
        if not token_hashes:
            return
        try:
            self._redis.delete(*(self._key(each) for each in token_hashes))
        except RedisError:
            return
