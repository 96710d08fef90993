"""The client of Redis. It gives up soon: what uses Redis here can do without."""

from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TLS = "rediss://"


def connect(url: str, *, password: str | None, ca_file: Path | None) -> Redis:
    """Nothing is connected to before it is used. What the URL says, in its query too, stands above the other arguments."""
    options: dict[str, Any] = {"password": password} if password else {}
    if url.startswith(TLS) and ca_file is not None:
        options["ssl_ca_certs"] = str(ca_file)  # beside the system's
    return Redis.from_url(
        url,
        **options,
        socket_connect_timeout=1,
        socket_timeout=2,
        socket_keepalive=True,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 1),
    )
