"""Files of the bucket, as tasks read and write them. With a real one this is boto3 or its like."""

from __future__ import annotations

import json
import os
import urllib.request

SECONDS = 30


def names(prefix: str) -> list[str]:
    """The files whose names start so."""
    found: list[str] = json.loads(_ask(f"?prefix={prefix}"))
    return found


def read(name: str) -> bytes:
    """A file's content."""
    return _ask(f"/{name}")


def write(name: str, content: bytes) -> None:
    """Make a file, or replace it: who does it twice has done it once."""
    _ask(f"/{name}", content)


def _ask(what: str, content: bytes | None = None) -> bytes:
    address = os.environ.get("OUTSIDE_URL", "http://outside") + "/files" + what
    request = urllib.request.Request(address, data=content, method="GET" if content is None else "PUT")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        body: bytes = answer.read()
        return body
