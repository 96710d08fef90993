"""The tasks of these tests: each says to a recorder what it does, so that two attempts at once can't stay unseen."""

import json
import os
import socket
import time

CHUNK = b"x" * (1 << 20)


def _mark(host: str, what: str) -> None:
    body = {"run": os.environ["TIDEGATE_RUN"], "attempt": int(os.environ["TIDEGATE_ATTEMPT"]), "what": what}
    while True:
        try:
            with socket.create_connection((host, 9000), timeout=10) as connection:
                connection.sendall(json.dumps(body).encode() + b"\n")
                connection.recv(1)  # it is written
                return
        except OSError:
            time.sleep(0.1)


def brief(host: str) -> str:
    """Begin and end."""
    _mark(host, "begin")
    _mark(host, "end")
    return os.environ["TIDEGATE_POOL"]


def goes_on(host: str, seconds: float) -> str:
    """Say again and again that it is still there."""
    _mark(host, "begin")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.2)
        _mark(host, "goes on")
    _mark(host, "end")
    return os.environ["HOSTNAME"]


def eats(megabytes: int) -> int:
    """Take so much memory."""
    return len(CHUNK * megabytes)
