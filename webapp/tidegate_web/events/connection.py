"""The client of Redis: one server, the one that Sentinels name, or a Cluster. It gives up soon: what uses Redis here can do without.

``redis+sentinel://user@sentinel-a:26379,sentinel-b:26379/SERVICE/0`` asks the Sentinels, at each connection again, which server has
the service; with ``rediss+sentinel`` over TLS. Their own password, where they have one, is ``?sentinel_password=…``.
``redis+cluster://user@a:6379,b:6379`` names nodes of a Cluster (``cluster_client.py``), of which one has to answer; ``rediss+cluster`` likewise.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from tidegate_web.events.cluster_client import ClusterClient

TLS = ("rediss://", "rediss+sentinel://", "rediss+cluster://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT = 26379
CLUSTER = ("redis+cluster://", "rediss+cluster://")
CLUSTER_PORT = 6379
_OF_SENTINELS = "sentinel_"


def connect(url: str, *, password: str | None, ca_file: Path | None) -> Redis:
    """Nothing is connected to before it is used. What the URL says, in its query too, stands above the other arguments."""
    tls: dict[str, Any] = {"ssl_ca_certs": str(ca_file)} if url.startswith(TLS) and ca_file is not None else {}
    options: dict[str, Any] = {
        **({"password": password} if password else {}),
        **tls,  # beside the system's
        "socket_connect_timeout": 1,
        "socket_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "driver_info": None,  # one right less: CLIENT SETINFO isn't sent
    }
    if url.startswith(CLUSTER):
        return _cluster(url, options)
    options["retry"] = Retry(NoBackoff(), 1)
    if not url.startswith(SENTINEL):
        return Redis.from_url(url, **options)
    return _by_sentinels(url, options, tls)


def _cluster(url: str, options: dict[str, Any]) -> Redis:
    parts = urlsplit(url)
    access, _, hosts = parts.netloc.rpartition("@")
    if not all(urlsplit(f"//{host}").hostname for host in hosts.split(",")) or parts.path.strip("/") not in ("", "0"):
        raise ValueError("TIDEGATE_REDIS_URL: redis+cluster://HOST:PORT,HOST:PORT; a cluster has database 0 alone")
    own = dict(parse_url(f"redis://{access}@node?{parts.query}"))  # type: ignore[no-untyped-call]
    del own["host"]
    encrypted = {"ssl": True} if url.startswith(TLS) else {}
    return ClusterClient([_address(host, CLUSTER_PORT) for host in hosts.split(",")], **{**options, **encrypted, **own})


def _by_sentinels(url: str, options: dict[str, Any], tls: dict[str, Any]) -> Redis:
    parts = urlsplit(url)
    access, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError("TIDEGATE_REDIS_URL: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DATABASE")
    query = parse_qsl(parts.query)
    of_sentinels = {key.removeprefix(_OF_SENTINELS): value for key, value in query if key.startswith(_OF_SENTINELS)}
    rest = urlencode([(key, value) for key, value in query if not key.startswith(_OF_SENTINELS)])
    # The server's own part, as redis-py reads it of other addresses.
    own = dict(parse_url(f"redis://{access}@server/{database}?{rest}"))  # type: ignore[no-untyped-call]
    del own["host"]
    encrypted = {"ssl": True, **tls} if url.startswith(TLS) else {}
    sentinels = Sentinel(
        [_address(host, SENTINEL_PORT) for host in hosts.split(",")],
        # One that is away is passed over at once.
        sentinel_kwargs={
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
            "retry": Retry(NoBackoff(), 0),
            **encrypted,
            **of_sentinels,
        },
    )  # type: ignore[no-untyped-call]
    made: Redis = sentinels.master_for(service, **{**options, **encrypted, **own})  # type: ignore[no-untyped-call]
    return made


def _address(text: str, port: int) -> tuple[str, int]:
    found = urlsplit(f"//{text}")
    return found.hostname or "", found.port or port
