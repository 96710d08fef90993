"""Real Postgres and Redis for tests: Debian's programs on free loopback ports, with their data in a temporary folder.

Each is a context manager with ``stop()`` and ``start()``, so that a test can take it away in the middle of something;
it comes back on the same port with the same data.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from tidegate_cluster.pki import Certificate

UNPRIVILEGED = "nobody"
DATABASES = 10_000
"""Of a Redis: one for each test."""


class ServerError(RuntimeError):
    """A server can't be had or didn't start; the message says what to do."""


def ensure_programs(packages: dict[str, Callable[[], Path | None]]) -> None:
    """Install the Debian packages whose programs are missing, all in one go; needs root."""
    missing = [package for package, find in packages.items() if find() is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerError(f"the tests need Debian's {' and '.join(missing)}: apt-get install {' '.join(missing)}")
    # Here, for programs that tests start know nothing of the cluster's folder.
    from tidegate_cluster import locks, settings

    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    # Another stage may be installing what it needs.
    lock = settings.from_environment().locks / "packages.lock"
    with locks.locked(lock, waiting_for="another installation of packages"):
        for command in (["apt-get", "update", "-q"], install):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ServerError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    still = [package for package in missing if packages[package]() is None]
    if still:
        raise ServerError(f"installed {', '.join(still)}, but its programs aren't there")


def postgres_bin() -> Path | None:
    """The folder of Postgres's programs: Debian keeps them off PATH, one folder a major version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def redis_program() -> Path | None:
    found = shutil.which("redis-server")
    return Path(found) if found else None


def chromium_program() -> Path | None:
    found = shutil.which("chromium")
    return Path(found) if found else None


def headless_shell() -> Path | None:
    found = shutil.which("chromium-headless-shell")
    return Path(found) if found else None


def ensure_servers() -> None:
    """Postgres and Redis are there, or one clear error."""
    ensure_programs({"postgresql": postgres_bin, "redis-server": redis_program})


def ensure_chromium() -> Path:
    """Debian's Chromium, which Playwright drives: without a window's parts, where that package can be had. A page then costs
    a third of the CPU."""
    try:
        ensure_programs({"chromium-headless-shell": headless_shell})
    except ServerError:
        ensure_programs({"chromium": chromium_program})
    program = headless_shell() or chromium_program()
    assert program is not None
    return program


PORTS = range(10_081, 20_000)
"""Below the range that the kernel takes outgoing connections' ports from: one of those could take a port that was free. Above
10080, the last one that browsers refuse to open (https://fetch.spec.whatwg.org/#port-blocking). Those of control planes come
after it."""


def free_port() -> int:
    """A port that nothing listens on. Hypothesis seeds `random` alike in all processes, so it is the system's that draws."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


PATIENCE = 240.0
"""Seconds. A wait that fails costs them; one that holds ends at once, so they are for the slowest machine that runs the tests."""


def wait_until(condition: Callable[[], bool], *, seconds: float = PATIENCE, what: str = "the condition") -> None:
    """Return as soon as the condition holds. What takes longer is looked at less often: a look costs a server something."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"{what} didn't come within {seconds:g} s")
        time.sleep(min(0.03 + 0.05 * waited, 0.15))


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


class Server:
    """One server process with its data folder."""

    name = "server"

    def __init__(self) -> None:
        # Here, for programs that tests start know nothing of the cluster's folder.
        from tidegate_cluster import scratch

        self.port = free_port()
        self.folder = scratch.make(f"tidegate-{self.name}-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self) -> None:
        """Make the data folder ready, once."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str] | None:
        """What the program gets; None: what we have."""
        return None

    def ready(self) -> bool:
        raise NotImplementedError

    def user(self) -> str | None:
        """Whom the server runs as."""
        return None

    def run_as(self) -> str | None:
        """The user to start programs as; None keeps ours."""
        return self.user() if os.geteuid() == 0 else None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        if self._process is not None:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=output,
                stderr=output,
                user=self.run_as(),
                env=self.environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-800:]
                raise ServerError(f"{self.name} didn't start on port {self.port}:\n{tail}")
            time.sleep(0.03)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End all of its processes at once, as when its machine's memory is full."""
        process, self._process = self._process, None
        assert process is not None
        for pid in (process.pid, *_children(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=60)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """None of its processes gets on, as with a disk that doesn't answer. The kernel still takes connections for it."""
        assert self._process is not None
        stopped: list[int] = []
        try:
            for pid in (self._process.pid, *_children(self._process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(entry.name))
    return found


class Postgres(Server):
    """A Postgres that trusts loopback. Made for speed: nothing of it outlives the tests, unless it is ``durable``. With a
    ``certificate`` it takes TLS too."""

    name = "postgres"

    def __init__(
        self, *, durable: bool = False, certificate: "Certificate | None" = None, max_connections: int = 200
    ) -> None:
        super().__init__()
        self._durable = durable
        self._certificate = certificate
        self._max_connections = max_connections

    @property
    def programs(self) -> Path:
        found = postgres_bin()
        if found is None:
            raise ServerError("Postgres isn't installed: apt-get install postgresql")
        return found

    def user(self) -> str:
        return UNPRIVILEGED  # Postgres refuses to run as root

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        run_as = self.run_as()
        if run_as is not None:
            os.chown(self.folder, pwd.getpwnam(run_as).pw_uid, -1)
        subprocess.run(
            [self.programs / "initdb", "-D", self.data, "-U", "tidegate", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, user=run_as, cwd=self.folder,
        )  # fmt: skip
        if self._certificate is not None:
            self._own(self._certificate)

    def _own(self, certificate: "Certificate") -> None:
        """Postgres takes no key that others can read, or that is another user's."""
        for name, source in (("server.crt", certificate.certificate), ("server.key", certificate.key)):
            copy = self.data / name
            shutil.copyfile(source, copy)
            copy.chmod(0o600)
            if (run_as := self.run_as()) is not None:
                os.chown(copy, pwd.getpwnam(run_as).pw_uid, -1)

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            **({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
            "max_connections": str(self._max_connections),
            **({"ssl": "on"} if self._certificate is not None else {}),
        }
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *flags]

    def _client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "tidegate", "-d", "postgres"]
        return subprocess.run([*arguments, *where], capture_output=True, text=True, check=False, cwd=self.folder)

    def ready(self) -> bool:
        return self._client(str(self.programs / "pg_isready"), "-q").returncode == 0

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database, empty or a copy; returns its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            # Files are copied: block by block through the WAL it takes twice the CPU.
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
            if self._durable:
                # The copy of a sequence stands in the WAL as it is in memory, some numbers behind those that were logged ahead;
                # after a crash it would give numbers twice. Of what was changed before a checkpoint, the next one is logged.
                connection.execute("CHECKPOINT")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Forget a database, also one with connections; a server that a test has stopped keeps it."""
        if self._process is not None:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://tidegate@127.0.0.1:{self.port}/{name}"


class Redis(Server):
    """A Redis that keeps nothing on disk. With a ``certificate`` it takes TLS alone."""

    name = "redis"

    def __init__(self, *, certificate: "Certificate | None" = None, options: Sequence[str] = ()) -> None:
        super().__init__()
        self._certificate = certificate
        self._options = options

    def command(self) -> list[str]:
        program = redis_program()
        if program is None:
            raise ServerError("Redis isn't installed: apt-get install redis-server")
        return [str(program), *self._listens(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--databases", str(DATABASES), "--dir", str(self.folder), *self._options]  # fmt: skip

    def _listens(self) -> list[str]:
        if self._certificate is None:
            return ["--port", str(self.port)]
        files = ["--tls-cert-file", str(self._certificate.certificate), "--tls-key-file", str(self._certificate.key)]
        return ["--port", "0", "--tls-port", str(self.port), *files, "--tls-auth-clients", "no"]

    def ready(self) -> bool:
        return answers(self.port)

    def url(self, database: int = 0) -> str:
        return f"{'rediss' if self._certificate else 'redis'}://127.0.0.1:{self.port}/{database}"
