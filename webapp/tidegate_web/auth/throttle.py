"""Wrong passwords are counted in Redis, for each address together with the email; without Redis nobody is held up."""

import hashlib

from redis import Redis
from redis.exceptions import RedisError


class LoginThrottle:
    """Says when somebody has guessed too often."""

    def __init__(self, *, redis: Redis, attempts: int, window_seconds: int) -> None:
        self._redis = redis
        self._attempts = attempts
        self._window = window_seconds

    @staticmethod
    def _keys(address: str, email: str) -> tuple[tuple[str, int], tuple[str, int]]:
        digest = hashlib.sha256(email.strip().lower().encode()).hexdigest()[:32]
        # One address may try a few people, and a person be tried from a few addresses, before all of it is refused.
        return (f"tg:login:{digest}:{address}", 1), (f"tg:login:{digest}", 5)

    def wait_seconds(self, *, address: str, email: str) -> int:
        """How long this one must wait; 0 when they may try."""
        try:
            for key, share in self._keys(address, email):
                count = self._redis.get(key)
                if count is not None and int(count) >= self._attempts * share:
                    return max(1, int(self._redis.ttl(key)))
        except RedisError:
            return 0
        return 0

    def failed(self, *, address: str, email: str) -> None:
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for key, _ in self._keys(address, email):
                pipeline.incr(key)
                pipeline.expire(key, self._window, nx=True)
            pipeline.execute()
        except RedisError:
            return

    def succeeded(self, *, address: str, email: str) -> None:
        try:
            self._redis.delete(*(key for key, _ in self._keys(address, email)))
        except RedisError:
            return
