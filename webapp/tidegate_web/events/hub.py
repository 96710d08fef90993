"""One subscription a process, handed on to every stream that is open in it.

Each stream has a queue with room for a few hundred messages. One that is full belongs to a reader that is too slow:
it is closed, and its browser comes back by itself with the number of the last event it got.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry

from tidegate_web.events.channels import EVENTS_CHANNEL, LOGS_CHANNEL
from tidegate_web.events.messages import Message

NEVER = Retry(NoBackoff(), 0)
log = structlog.stdlib.get_logger(__name__)


class Signal(Enum):
    """What a stream gets beside messages."""

    QUIET = "nothing came in the time given"
    BROKEN = "messages may have been missed"
    CLOSED = "the stream must end"


class Subscription:
    """One open stream's queue."""

    def __init__(self, room: int) -> None:
        self._queue: queue.Queue[Message | Signal] = queue.Queue(room)
        self._closed = False

    def put(self, message: Message | Signal) -> bool:
        """Hand a message over; False when the reader is too slow, and thereby dropped."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._closed = True
            return False
        return True

    def close(self) -> None:
        self._closed = True
        self.put(Signal.CLOSED)

    def get(self, *, seconds: float) -> Message | Signal:
        """The next message, or why there is none."""
        if self._closed:
            return Signal.CLOSED
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return Signal.QUIET


class Hub:
    """The process's subscription to Redis, and the streams it feeds."""

    def __init__(self, *, redis: Redis, room: int) -> None:
        self._redis = redis
        self._room = room
        self._streams: dict[str, set[Subscription]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.connected = threading.Event()

    def start(self) -> None:
        """Begin to listen; done once, in the process that serves."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="live-hub", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End every stream and the subscription."""
        self._stop.set()
        for stream in self._all():
            stream.close()
        if self._thread is not None:
            self._thread.join(timeout=5)

    @property
    def stopping(self) -> bool:
        """Whether this process is about to end."""
        return self._stop.is_set()

    @property
    def streams(self) -> int:
        with self._lock:
            return sum(len(streams) for streams in self._streams.values())

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Subscription]:
        """Messages of a channel from now on."""
        self.start()
        stream = Subscription(self._room)
        with self._lock:
            self._streams.setdefault(channel, set()).add(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams[channel].discard(stream)
                if not self._streams[channel]:
                    del self._streams[channel]

    def _all(self) -> list[Subscription]:
        with self._lock:
            return [stream for streams in self._streams.values() for stream in streams]

    def _listen(self) -> None:
        delay = 0.1
        while not self._stop.is_set():
            pubsub: PubSub | None = None
            connection = usual = None
            try:
                pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                pubsub.psubscribe(f"{EVENTS_CHANNEL}*", f"{LOGS_CHANNEL}*")
                # One that connects again by itself misses, without a sign, what is published meanwhile.
                connection = pubsub.connection
                assert connection is not None
                usual, connection.retry = connection.retry, NEVER
                while not self._stop.is_set():
                    message = pubsub.get_message(timeout=1)
                    if pubsub.subscribed and not self.connected.is_set():
                        self.connected.set()
                        delay = 0.1
                    if message is not None and message["type"] == "pmessage":
                        self._hand_on(message["channel"].decode(), message["data"])
            except NoPermissionError as error:
                log.warning("live updates: Redis refuses the subscription to its user (ACL)", reason=str(error))
            except (RedisError, OSError) as error:
                log.warning("live updates: Redis is away", reason=str(error))
            finally:
                if self.connected.is_set():
                    self.connected.clear()
                    for stream in self._all():
                        stream.put(Signal.BROKEN)
                if connection is not None:
                    connection.retry = usual  # it goes back to the pool
                if pubsub is not None:
                    with suppress(RedisError, OSError):
                        pubsub.close()
            self._stop.wait(delay)
            delay = min(delay * 2, 2)

    def _hand_on(self, channel: str, data: bytes) -> None:
        with self._lock:
            streams = list(self._streams.get(channel, ()))
        message = Message(data)
        for stream in streams:
            stream.put(message)
