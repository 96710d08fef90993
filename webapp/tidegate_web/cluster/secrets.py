"""Secrets of the release that the chart doesn't write: made once, and left alone from then on.

A chart that is rendered without a cluster, as Argo CD does, would have other passwords each time. So a Job makes those that are missing.
"""

import base64
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError

_LETTERS = string.ascii_letters + string.digits


class SecretKeyError(ValueError):
    """A Secret is there and lacks its key, or what is asked for can't be understood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretKey:
    """A Secret with one random key."""

    name: str
    key: str
    length: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `name/key/length`."""
        name, _, rest = text.partition("/")
        key, _, length = rest.partition("/")
        if not (name and key and length.isdecimal() and 16 <= int(length) <= 256):
            raise SecretKeyError(f"{text!r} isn't name/key/length with a length from 16 to 256")
        return cls(name=name, key=key, length=int(length))


def make_missing(cluster: Cluster, namespace: str, wanted: Iterable[SecretKey]) -> list[str]:
    """Make the Secrets that aren't there; their names. Raises SecretKeyError for one that lacks its key."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    made = []
    for each in wanted:
        value = "".join(secrets.choice(_LETTERS) for _ in range(each.length))
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": each.name, "labels": {"app.kubernetes.io/name": "tidegate"}},
            "data": {each.key: base64.b64encode(value.encode()).decode()},
        }
        try:
            cluster.write("POST", path, body=body)
            made.append(each.name)
        except ClusterError as error:
            if error.status != 409:
                raise
            there = cluster.request("GET", f"{path}/{each.name}").get("data") or {}
            if not there.get(each.key):
                raise SecretKeyError(f"Secret {each.name} has no key {each.key}") from error
    return made
