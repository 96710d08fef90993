"""The dispatch port: workers connect, show who they are, and are handed what their runs need.

Only the leader listens, and it answers only while it surely leads: a worker that is refused tries again, and finds the leader. One
connection a worker; a second one is refused while the first answers, unless it shows the secret that only the worker's main
process knows. What comes from a worker goes to its `Listener`; what breaks there ends this connection and no other.

Any pod may connect. Those that haven't said who they are share a bounded number of places, of which no address keeps more than
another one wants; those that have said it wait for the review one a pod.
"""

import asyncio
import hashlib
import hmac
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Protocol, Self

import structlog
from tidegate_api.listening import bound_sockets
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
"""Until a client has said which worker it is."""
IDENTIFY_SECONDS: Final = 15.0
"""Until it has been found to be that worker."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A client that hasn't said who it is."""

    address: str
    timer: asyncio.TimerHandle
    """It ends the connection."""


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
        self._unknown: dict[Connection, Stranger] = {}
        """In the order in which they came."""
        self._claiming: dict[str, Connection] = {}
        """Who is being found out, by the uid of the pod that it claims to be."""
        self._renewing: set[Connection] = set()
        """Workers whose new token is being reviewed."""
        self._workers: dict[str, Connection] = {}
        self._secrets: dict[tuple[str, str], bytes] = {}
        """Digest of the secret of each container instance of a worker pod that was here."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []
        self._log = structlog.get_logger(__name__)

    async def __aenter__(self) -> Self:
        self._sockets = bound_sockets(self._host, self._port)
        for each in self._sockets:
            each.listen(BACKLOG)
            each.setblocking(False)
        self.port = self._sockets[0].getsockname()[1]
        return self

    async def serve(self) -> None:
        """Take workers for ever. Raises what breaks it as a whole."""
        async with asyncio.TaskGroup() as parts:
            for each in self._sockets:
                parts.create_task(self._accept(each))
            parts.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()
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
                accepted, (address, *_) = await loop.sock_accept(listening)
            except OSError as error:
                self._log.warning("can't accept a worker", error=repr(error))
                await asyncio.sleep(0.1)
                continue
            if not self._leads() or not self._has_room(address):
                self._count("refused")
                accepted.close()
                continue
            self._spawn(self._open(accepted, self._arrived(address)))

    def _has_room(self, address: str) -> bool:
        """Whether there is a place for one more stranger from this address. Where all are taken, the oldest of the address with
        most of them goes, unless that would leave the newcomer's address with as many."""
        if len(self._unknown) < UNKNOWN_MAX:
            return True
        taken = Counter(stranger.address for stranger in self._unknown.values())
        crowd, most = taken.most_common(1)[0]
        if taken[address] + 1 >= most:
            return False
        oldest = next(each for each, stranger in self._unknown.items() if stranger.address == crowd)
        self._known(oldest)
        self._count("refused")
        oldest.close()
        return True

    def _arrived(self, address: str) -> Connection:
        """The connection of a client from this address."""
        connection = Connection(self, monotonic=self._monotonic)
        timer = asyncio.get_running_loop().call_later(HELLO_SECONDS, self._gave_no_name, connection)
        self._unknown[connection] = Stranger(address=address, timer=timer)
        return connection

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=HELLO_SECONDS
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._known(connection)
            accepted.close()
            self._count("handshake")
            self._log.debug("a TLS handshake failed", error=repr(error))
        if not connection.is_open:
            connection.close()  # it had to go before it had a transport to close

    def _gave_no_name(self, connection: Connection) -> None:
        if self._known(connection):
            self._count("silent")
            connection.close()

    def _known(self, connection: Connection) -> bool:
        """It no longer counts among those that haven't said who they are. Says whether it did."""
        stranger = self._unknown.pop(connection, None)
        if stranger is not None:
            stranger.timer.cancel()
        return stranger is not None

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
                if connection in self._renewing:
                    raise ProtocolError("it sends another token before the last one is reviewed")
                self._renewing.add(connection)
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
        def wanted() -> bool:
            return connection.is_open

        claimed = ""
        try:
            claimed = await self._identifier.claimed_pod(hello.token, wanted=wanted)
            if not self._known(connection):
                return  # too late
            before = self._claiming.get(claimed)
            if before is not None and before.is_open:
                raise IdentityError("another client of this pod is being found out")
            self._claiming[claimed] = connection
            async with asyncio.timeout(IDENTIFY_SECONDS):
                identity = await self._identifier.identify(hello.token, started=hello.started, wanted=wanted)
        except IdentityError as error:
            if connection.is_open:
                self._refuse(connection, str(error))
        except TimeoutError:
            self._refuse(connection, "it was not found out in time who it is")
        else:
            if connection.is_open:
                self._welcome(connection, hello, identity)
        finally:
            if self._claiming.get(claimed) is connection:
                del self._claiming[claimed]

    def _welcome(self, connection: Connection, hello: Hello, identity: Identity) -> None:
        """It is a worker: from now on it is this worker's connection."""
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
        connection.prepares = hello.prepares
        self._count("welcome")
        self._listener.joined(connection, identity, hello)
        connection.send("welcome", pingSeconds=PING_SECONDS)

    async def _review_again(self, connection: Connection, token: str) -> None:
        try:
            if await self._identifier.pod_of(token, wanted=lambda: connection.is_open) == connection.pod_uid:
                return
            why = "its new token is another pod's"
        except IdentityError as error:
            why = str(error)
        finally:
            self._renewing.discard(connection)
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
