"""The talk with the operator's leader: hello, welcome, what the worker has, and then messages; again and again."""

from __future__ import annotations

import collections
import os
import random
from typing import Callable, Iterator, Optional

from tidegate.worker import processes, protocol
from tidegate.worker.connection import Connection, ConnectionLost
from tidegate.worker.log import Log
from tidegate.worker.loop import Loop
from tidegate.worker.protocol import (
    Abort,
    BadStart,
    Commit,
    Drain,
    Message,
    Ping,
    Prepare,
    ProtocolError,
    RunToken,
    Start,
    Stop,
    Welcome,
    Written,
    encode,
)
from tidegate.worker.resolver import Resolver
from tidegate.worker.settings import Settings
from tidegate.worker.slots import Slots

FIRST_DELAY_SECONDS, MOST_DELAY_SECONDS = 0.1, 2.0
WELCOME_SECONDS = 10.0
"""From the first packet to the leader's welcome."""
SILENT_PINGS = 3
TOKEN_SECONDS = 5.0
"""Between looks at the token's file."""
MOST_TOKEN_BYTES = 6 * 1024


class Leader:
    """Keeps one connection, and makes another when it is lost."""

    def __init__(
        self, settings: Settings, *, slots: Slots, resolver: Resolver, loop: Loop, log: Log, clock: Callable[[], float]
    ) -> None:
        self._settings, self._slots, self._resolver = settings, slots, resolver
        self._loop, self._log, self._clock = loop, log, clock
        self._secret, self._instance = os.urandom(16).hex(), os.urandom(8).hex()
        self._started = processes.started_at(os.getpid())
        self._connection: Optional[Connection] = None
        self._watched: Optional[int] = None
        """The descriptor that is waited for: the connection may have lost it by itself."""
        self._next_try, self._delay = clock(), FIRST_DELAY_SECONDS
        self._greeting: Iterator[bytes] = iter(())
        self._waiting: collections.deque[bytes] = collections.deque()
        self._silent_at = self._token_at = 0.0
        self._ping_seconds: Optional[float] = None
        self._token = ""
        self._complained = ""
        self.welcomed_since: Optional[float] = None
        """Since when a leader takes this worker; None when none does."""
        self.was_welcomed = False

    def tell(self, line: bytes) -> None:
        """Send a line, where a leader takes this worker. Who comes later gets to know by what the worker has."""
        if self.welcomed_since is not None:
            self._waiting.append(line)
            self._send()

    def say_draining(self) -> None:
        """The worker takes no more runs."""
        self.tell(encode("draining"))

    def tick(self) -> float:
        """Connect, give up what is silent, renew the token; when to look again."""
        now = self._clock()
        if self._connection is None:
            if now < self._next_try:
                return self._next_try
            self._connect(now)
            return self._silent_at if self._connection is not None else self._next_try
        if now >= self._silent_at:
            self._lost("the operator is silent")
            return self._next_try
        if self.welcomed_since is None:
            return self._silent_at
        if now >= self._token_at:
            self._renew_token(now)
        return min(self._silent_at, self._token_at)

    def close(self) -> None:
        """End the connection."""
        if self._watched is not None:
            self._loop.forget(self._watched)
            self._watched = None
        if self._connection is not None:
            self._connection.close()
        self._connection = self._ping_seconds = self.welcomed_since = None
        self._greeting = iter(())
        self._waiting.clear()
        # The next leader isn't told of prepared runs, so they must not run.
        self._slots.abort_prepared()

    def _connect(self, now: float) -> None:
        address = self._resolver.next_address()
        if address is None:
            self._later(now)
            return
        try:
            self._token = self._read_token()
            hello = encode(
                "hello",
                protocol=protocol.VERSION,
                token=self._token,
                secret=self._secret,
                instance=self._instance,
                slots=self._settings.slots,
                draining=self._slots.draining,
                started=self._started,
                prepares=True,
            )
            if len(hello) > protocol.MOST_HELLO_BYTES:
                raise ConnectionLost("the token is too long")
            self._connection = Connection(
                address,
                self._settings.port,
                server_name=self._settings.server_name,
                ca_file=self._settings.ca_file,
            )
            self._silent_at = now + WELCOME_SECONDS
            self._connection.send(hello)
        except ConnectionLost as error:
            self._lost(str(error))
            return
        self._watch()

    def _lost(self, why: str) -> None:
        was_welcomed = self.welcomed_since is not None
        self.close()
        if was_welcomed or why != self._complained:
            self._complained = why
            self._log.event("warning", "no connection to the operator", message=why)
        self._resolver.refresh()
        self._later(self._clock())

    def _later(self, now: float) -> None:
        self._next_try = now + self._delay * (0.5 + random.random() / 2)  # noqa: S311 - spreads, hides nothing
        self._delay = min(MOST_DELAY_SECONDS, self._delay * 2)

    def _send(self) -> None:
        """Send what waits: first what a new leader has to know, which may be much, then the rest."""
        try:
            while self._connection is not None and self._connection.takes_more:
                line = next(self._greeting, None)
                if line is None and self._waiting:
                    line = self._waiting.popleft()
                if line is None:
                    break
                self._connection.send(line)
        except ConnectionLost as error:
            self._lost(str(error))
            return
        self._watch()

    def _watch(self) -> None:
        if self._connection is not None:
            self._watched = self._connection.descriptor
            self._loop.watch(self._watched, self._connection.wants, self._on_ready)

    def _on_ready(self, _: int) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            lines = connection.advance()
            for line in lines:
                message = protocol.parse(line)
                self._heard()
                if message is not None:
                    self._take(message)
                if self._connection is not connection:
                    return
        except (ConnectionLost, ProtocolError) as error:
            self._lost(str(error))
            return
        self._send()

    def _heard(self) -> None:
        if self._ping_seconds is not None:
            self._silent_at = self._clock() + SILENT_PINGS * self._ping_seconds

    def _take(self, message: Message) -> None:
        if isinstance(message, Welcome) == (self.welcomed_since is not None):
            raise ProtocolError("a second welcome" if isinstance(message, Welcome) else "no welcome came first")
        if isinstance(message, Welcome):
            self._welcome(message)
        elif isinstance(message, Start):
            self._slots.take(message)
        elif isinstance(message, Prepare):
            self._slots.prepare(message.start)
        elif isinstance(message, Commit):
            self._slots.commit(message.handover)
        elif isinstance(message, Abort):
            self._slots.abort(message.handover)
        elif isinstance(message, BadStart):
            self._take_bad(message)
        elif isinstance(message, Stop):
            self._slots.stop(message.handover, message.why)
        elif isinstance(message, Written):
            self._slots.forget(message.handover)
        elif isinstance(message, RunToken):
            self._slots.renew_token(message)
        elif isinstance(message, Drain):
            self._slots.draining = True
        elif isinstance(message, Ping):
            self.tell(encode("pong"))

    def _take_bad(self, message: BadStart) -> None:
        if message.prepares:
            self._slots.cannot_prepare(message.handover, message.problem)
        else:
            self._slots.refuse(message.handover, message.problem)

    def _welcome(self, message: Welcome) -> None:
        now = self._clock()
        self._ping_seconds, self.welcomed_since, self.was_welcomed = message.ping_seconds, now, True
        self._delay, self._token_at = FIRST_DELAY_SECONDS, now + TOKEN_SECONDS
        self._complained = ""
        self._heard()
        self._log.event("info", "connected to the operator")
        self._greeting = self._slots.greeting()
        self._send()

    def _renew_token(self, now: float) -> None:
        self._token_at = now + TOKEN_SECONDS
        try:
            token = self._read_token()
        except ConnectionLost as error:
            self._log.event("warning", "the token can't be read", message=str(error))
            return
        if token != self._token:
            self._token = token
            self.tell(encode("token", token=token))

    def _read_token(self) -> str:
        try:
            with open(self._settings.token_file, encoding="ascii") as file:
                return file.read(MOST_TOKEN_BYTES).strip()
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"can't read the token: {error}") from None
