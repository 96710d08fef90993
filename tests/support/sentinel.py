"""A real Redis Sentinel that watches one server, and makes a replica the next one when that is gone."""

from pathlib import Path

from tidegate_cluster.pki import Certificate

from support.servers import Redis, Server, ServerError, answers, redis_program

SERVICE = "tidegate"


class Sentinel(Server):
    """One alone decides: its quorum is 1. With a ``certificate`` all is TLS, also its way to the server that it watches."""

    name = "sentinel"

    def __init__(
        self,
        watched: Redis,
        *,
        certificate: Certificate | None = None,
        authority: Path | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__()
        self._watched = watched
        self._certificate = certificate
        self._authority = authority
        self._password = password

    def prepare(self) -> None:
        lines = [
            *self._listens(),
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._watched.port} 1",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _listens(self) -> list[str]:
        password = [f"requirepass {self._password}"] if self._password else []
        if self._certificate is None:
            return [f"port {self.port}", *password]
        return [
            "port 0",
            f"tls-port {self.port}",
            f"tls-cert-file {self._certificate.certificate}",
            f"tls-key-file {self._certificate.key}",
            f"tls-ca-cert-file {self._authority}",
            "tls-auth-clients no",
            "tls-replication yes",
            *password,
        ]

    def command(self) -> list[str]:
        program = redis_program()
        if program is None:
            raise ServerError("Redis isn't installed: apt-get install redis-server")
        return [str(program), str(self.folder / "sentinel.conf"), "--sentinel"]

    def ready(self) -> bool:
        return answers(self.port)

    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{SERVICE}/0"


def replica_of(master: Redis) -> Redis:
    return Redis(options=("--replicaof", "127.0.0.1", str(master.port)))
