"""Callers that were seen lately, kept in Redis for the time when Postgres is away.

Postgres is asked first, always: what was revoked there is revoked at once. Only while it doesn't answer is the last
answer accepted, for as long as the settings say, and what was revoked meanwhile is forgotten here as well.
"""

import json
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from tidegate_web.auth.caller import Caller
from tidegate_web.store.engine import is_unavailable

REFRESH_SECONDS = 10.0
"""So long an answer that hasn't changed isn't written to Redis again: the memory is this much shorter, never longer."""
MOST_WRITTEN = 10_000


class CallerMemory:
    """The last answer about each session and key, by the hash of its token."""

    def __init__(self, *, redis: Redis, seconds: int, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._seconds = seconds
        self._now = now
        self._written: dict[bytes, tuple[float, Caller]] = {}
        """What was written to Redis, and until when that will do."""

    @staticmethod
    def _key(token_hash: bytes) -> str:
        return f"tg:caller:{token_hash.hex()}"

    def ask(self, token_hash: bytes, find: Callable[[], Caller | None]) -> Caller | None:
        """Whom a token stands for, asked of Postgres by ``find``; while that is away, the last answer. Raises what ``find``
        does when there is no last answer either."""
        try:
            found = find()
        except Exception as error:
            known = self.recall(token_hash) if is_unavailable(error) else None
            if known is None:
                raise
            return known
        if found is None:
            self.forget(token_hash)
        else:
            self.keep(token_hash, found)
        return found

    def keep(self, token_hash: bytes, caller: Caller) -> None:
        """Remember a good one."""
        now = self._now()
        until, written = self._written.get(token_hash, (now, None))
        if now < until and written == caller:
            return
        try:
            self._redis.set(self._key(token_hash), json.dumps(caller.as_json()), ex=self._seconds)
        except RedisError:
            return
        if len(self._written) >= MOST_WRITTEN:
            self._written.clear()
        self._written[token_hash] = (now + min(REFRESH_SECONDS, self._seconds / 10), caller)

    def recall(self, token_hash: bytes) -> Caller | None:
        """The last answer; None when there is none, or no Redis to ask."""
        try:
            kept = self._redis.get(self._key(token_hash))
            return None if not isinstance(kept, bytes) else Caller.from_json(json.loads(kept))
        except (RedisError, ValueError, KeyError, IndexError, TypeError):
            return None

    def forget(self, *token_hashes: bytes) -> None:
        """These are revoked."""
        if not token_hashes:
            return
        for each in token_hashes:
            self._written.pop(each, None)
        try:
            self._redis.delete(*(self._key(each) for each in token_hashes))
        except RedisError:
            return
