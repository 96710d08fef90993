"""The dispatch port: workers connect, show who they are, and are handed what their runs need.

Only the leader listens, and it answers only while it surely leads: a worker that is refused tries again, and finds the leader. One
connection a worker; a second one is refused while the first answers, unless it shows the secret that only the worker's main
process knows. What comes from a worker goes to its `Listener`; what breaks there ends this connection and no other.
"""

import asyncio
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Final, Protocol, Self

import structlog
from tidegate_api.names import TOKEN_AUDIENCE

from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.dispatch.identity import Identifier, Identity, IdentityError
from tidegate_operator.dispatch.protocol import (
    Hello,
    Message,
    Pong,
    ProtocolError,
    Renewed,
    parse_hello,
    parse_message,
)
from tidegate_operator.kube.errors import NotLeadingError
from tidegate_operator.metrics import Metrics

PING_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 3 * PING_SECONDS
HELLO_SECONDS: Final = 5.0
UNKNOWN_MAX: Final = 64
"""Connections that haven't said who they are."""
BACKLOG: Final = 128


class Listener(Protocol):
    """What workers say, once they have shown who they are."""

    def joined(self, connection: Connection, identity: Identity, hello: Hello) -> None:
        """A worker is there."""

    def heard(self, connection: Connection, message: Message) -> None:
        """It said something."""

    def left(self, connection: Connection) -> None:
        """Its connection is gone."""


class DispatchServer:
    """Serves the dispatch port for as long as its block lasts."""

    def __init__(
        self,
        identifier: Identifier,
        listener: Listener,
        *,
        context: ssl.SSLContext,
        guard: Callable[[], None],
        metrics: Metrics,
        host: str,
        port: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`guard` raises NotLeadingError unless this replica surely leads."""
        self._identifier, self._listener, self._context, self._guard = identifier, listener, context, guard
        self._metrics, self._host, self._port, self._monotonic = metrics, host, port, monotonic
        self._unknown: dict[Connection, asyncio.TimerHandle] = {}
        self._handshakes = 0
        self._workers: dict[str, Connection] = {}
        self._secrets: dict[tuple[str, str], bytes] = {}
        """Digest of the secret of each container instance of a worker pod that was here."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._log = structlog.get_logger(__name__)

    async def __aenter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG, reuse_port=False)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        return self

    async def serve(self) -> None:
        """Take workers for ever. Raises what breaks it as a whole."""
        assert self._socket is not None
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._accept(self._socket))
            parts.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        for connection in [*self._workers.values(), *self._unknown]:
            connection.close()

    def find(self, pod_uid: str) -> Connection | None:
        """The connection of a worker, if it is there and has said what it holds."""
        connection = self.connected(pod_uid)
        return connection if connection is not None and connection.ready else None

    def connected(self, pod_uid: str) -> Connection | None:
        """The connection of a worker, if it is there."""
        connection = self._workers.get(pod_uid)
        return connection if connection is not None and connection.is_open else None

    # Accepting

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._log.warning("can't accept a worker", error=repr(error))
                await asyncio.sleep(0.1)
                continue
            if self._handshakes + len(self._unknown) >= UNKNOWN_MAX or not self._leads():
                self._count("refused")
                accepted.close()
                continue
            self._handshakes += 1
            self._spawn(self._open(accepted))

    async def _open(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, monotonic=self._monotonic)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._unknown[connection] = loop.call_later(HELLO_SECONDS, self._gave_no_name, connection)
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=HELLO_SECONDS
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._known(connection)
            accepted.close()
            self._count("handshake")
            self._log.debug("a TLS handshake failed", error=repr(error))
        finally:
            self._handshakes -= 1

    def _gave_no_name(self, connection: Connection) -> None:
        if self._known(connection):
            self._count("silent")
            connection.close()

    def _known(self, connection: Connection) -> bool:
        """It no longer counts among those that haven't said who they are. Says whether it did."""
        timer = self._unknown.pop(connection, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    # What connections report

    def said_hello(self, connection: Connection, line: bytes) -> None:
        """The first line: find out who that is."""
        try:
            hello = parse_hello(line)
        except ProtocolError as error:
            self._refuse(connection, str(error))
            return
        self._spawn(self._identify(connection, hello))

    def said(self, connection: Connection, line: bytes) -> None:
        """A later line."""
        if not connection.pod_uid:
            self._refuse(connection, "it speaks before it was welcomed")
            return
        try:
            self._guard()
            message = parse_message(line)
            if isinstance(message, Renewed):
                self._spawn(self._review_again(connection, message.token))
            elif message is not None and not isinstance(message, Pong):
                self._listener.heard(connection, message)
        except NotLeadingError:
            connection.close()
        except ProtocolError as error:
            self._refuse(connection, str(error))
        except Exception:
            # Whatever it was, it came from this worker: the others go on.
            self._metrics.errors.inc()
            self._log.exception("what a worker said broke", pod=connection.pod_uid)
            connection.close()

    def lost(self, connection: Connection) -> None:
        """It is gone."""
        self._known(connection)
        if connection.pod_uid and self._workers.get(connection.pod_uid) is connection:
            del self._workers[connection.pod_uid]
            self._metrics.pool_workers.set(len(self._workers))
            self._listener.left(connection)

    async def _identify(self, connection: Connection, hello: Hello) -> None:
        try:
            identity = await self._identifier.identify(hello.token, started=hello.started)
        except IdentityError as error:
            self._refuse(connection, str(error))
            return
        if not self._known(connection) or not connection.is_open:
            return  # too late
        uid = identity.pod.uid
        digest, known = hashlib.sha256(hello.secret.encode()).digest(), self._secrets.get((uid, identity.instance))
        if known is not None and not hmac.compare_digest(known, digest):
            self._refuse(connection, f"another process of pod {identity.pod.name} is its worker")
            return
        if not self._leads():
            connection.close()
            return
        before = self._workers.pop(uid, None)
        if before is not None:
            self._listener.left(before)
            before.close()
        self._secrets[uid, identity.instance] = digest
        self._workers[uid] = connection
        self._metrics.pool_workers.set(len(self._workers))
        connection.pod_uid, connection.instance = uid, identity.instance
        self._count("welcome")
        self._listener.joined(connection, identity, hello)
        connection.send("welcome", pingSeconds=PING_SECONDS)

    async def _review_again(self, connection: Connection, token: str) -> None:
        try:
            if await self._identifier.pod_of(token) == connection.pod_uid:
                return
            why = "its new token is another pod's"
        except IdentityError as error:
            why = str(error)
        self._refuse(connection, why)

    def _refuse(self, connection: Connection, why: str) -> None:
        self._known(connection)
        self._count("refused")
        self._log.warning("a worker is refused", reason=why, pod=connection.pod_uid, audience=TOKEN_AUDIENCE)
        connection.close()

    # Time

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            leads = self._leads()
            for connection in list(self._workers.values()):
                if not leads or not connection.check(silence=SILENCE_SECONDS):
                    connection.close()
                else:
                    connection.send("ping")
            for key in [key for key in self._secrets if not self._identifier.is_there(key[0])]:
                del self._secrets[key]

    def _leads(self) -> bool:
        try:
            self._guard()
        except NotLeadingError:
            return False
        return True

    def _count(self, how: str) -> None:
        self._metrics.pool_connections.labels(how).inc()

    def _spawn(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
