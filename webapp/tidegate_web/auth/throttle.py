"""Attempts are counted before they are made, in Redis for all processes together: of many at once none slips by uncounted.

While Redis is away each process counts for itself. The limits are in `attempt_limits.py`; the script below says the same.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis
from redis.exceptions import RedisError

from tidegate_web.auth.attempt_limits import MOST_DOUBLINGS, AttemptLimit, Count, has_ended, wait_seconds
from tidegate_web.events.cluster_client import shared_slot

AWAY_SECONDS = 2.0
"""So long Redis isn't asked again after it didn't answer."""
MOST_LOCAL = 10_000

_TAKE = f"""
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local longest = 0
for i, key in ipairs(KEYS) do
  local free, window, most = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
  local kept = redis.call('HMGET', key, 'attempts', 'last')
  local attempts, last = tonumber(kept[1]) or 0, tonumber(kept[2]) or now
  local wait = 0
  if attempts >= free then
    if most == 0 then
      wait = redis.call('PTTL', key) / 1000
    else
      wait = last + math.min(2 ^ math.min(attempts - free, {MOST_DOUBLINGS}), most) - now
    end
  end
  longest = math.max(longest, wait)
end
if longest > 0 then return string.format('%.3f', longest) end
for i, key in ipairs(KEYS) do
  local window, most = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
  local attempts = redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HSET', key, 'last', string.format('%.3f', now))
  if most > 0 or attempts == 1 or redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, window) end
end
return '0'
"""
_GIVE_BACK = """
for _, key in ipairs(KEYS) do
  local attempts = tonumber(redis.call('HGET', key, 'attempts') or '0')
  if attempts > 0 then redis.call('HINCRBY', key, 'attempts', -1) end
end
"""


class Throttle:
    """Counts attempts, and says how long one more must wait."""

    def __init__(self, *, redis: Redis, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._take = redis.register_script(_TAKE)
        self._give_back = redis.register_script(_GIVE_BACK)
        self._now = now
        self._lock = threading.Lock()
        self._local: dict[str, Count] = {}
        self._away_until = -math.inf

    def take(self, limits: Sequence[AttemptLimit]) -> int:
        """Count one attempt by all of these limits, and answer 0; or count nothing, and answer how many seconds to wait."""
        if self._now() >= self._away_until:
            values = [number for each in limits for number in (each.free, each.window, each.longest_wait)]
            try:
                return math.ceil(float(self._take(keys=self._keys(limits), args=values)))
            except RedisError:
                self._away_until = self._now() + AWAY_SECONDS
        return self._take_here(limits)

    def succeeded(self, limits: Sequence[AttemptLimit]) -> None:
        """The attempt was a right one, and no guess."""
        self._forget([each for each in limits if each.forgiven])
        self.give_back([each for each in limits if not each.forgiven])

    def give_back(self, limits: Sequence[AttemptLimit]) -> None:
        """The attempt was not made, or doesn't count."""
        if not limits:
            return
        with self._lock:
            for each in limits:
                count = self._local.get(each.key)
                if count is not None and count.attempts > 0:
                    self._local[each.key] = Count(attempts=count.attempts - 1, began=count.began, last=count.last)
        try:
            self._give_back(keys=self._keys(limits))
        except RedisError:
            return

    def _forget(self, limits: Sequence[AttemptLimit]) -> None:
        if not limits:
            return
        with self._lock:
            for each in limits:
                self._local.pop(each.key, None)
        try:
            self._redis.delete(*self._keys(limits))
        except RedisError:
            return

    def _take_here(self, limits: Sequence[AttemptLimit]) -> int:
        now = self._now()
        with self._lock:
            if len(self._local) >= MOST_LOCAL:
                self._local.clear()
            longest = max((wait_seconds(each, self._local.get(each.key), now=now) for each in limits), default=0.0)
            if longest > 0:
                return math.ceil(longest)
            for each in limits:
                count = self._local.get(each.key)
                if count is None or has_ended(each, count, now=now):
                    count = Count(attempts=0, began=now, last=now)
                self._local[each.key] = Count(attempts=count.attempts + 1, began=count.began, last=now)
        return 0

    def _keys(self, limits: Sequence[AttemptLimit]) -> list[str]:
        """One attempt is counted by all of its limits at once, so all have to be in one slot."""
        return [f"tg:{shared_slot(self._redis, 'attempts')}:{each.key}" for each in limits]
