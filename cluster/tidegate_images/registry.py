"""Asks a registry for the digest of a tag, by the distribution API (the OCI's specification of registries)."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from http.client import HTTPResponse
from typing import Final
from urllib.parse import urlencode, urlsplit

from tidegate_cluster.errors import ClusterError

_MANIFESTS: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_HUB: Final = "https://registry-1.docker.io"
_LARGEST: Final = 4 * 1024 * 1024  # what the specification asks registries to take
_TIMEOUT_SECONDS: Final = 30


def digest_of(reference: str, *, mirror: str | None = None) -> str:
    """The digest of HOST/REPOSITORY:TAG. `mirror`: the URL of a registry that is asked in place of HOST."""
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    base = mirror or (_HUB if host == "docker.io" else f"https://{host}")
    url = f"{base.rstrip('/')}/v2/{repository}/manifests/{tag}"
    try:
        reported, body = _manifest(url)
    except (OSError, ValueError) as error:  # ValueError: an answer that is no JSON, a URL that is none
        raise ClusterError(f"can't get the digest of {reference}: {urlsplit(url).netloc or url}: {error}") from error
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if reported is not None and reported != digest:
        raise ClusterError(f"the registry says that {reference} is {reported}, but what it sent is {digest}")
    return digest


def _manifest(url: str) -> tuple[str | None, bytes]:
    try:
        return _get(url)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or not challenge.lower().startswith("bearer "):
            raise
    return _get(url, token=_anonymous_token(challenge))


def _anonymous_token(challenge: str) -> str:
    # Docker Hub gives public images to those alone who have asked for a token, without a name.
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
    _, body = _get(f"{asked.get('realm', '')}?{query}")
    answer = json.loads(body)
    return str(answer.get("token") or answer.get("access_token") or "")


def _get(url: str, *, token: str | None = None) -> tuple[str | None, bytes]:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is no URL of a registry")
    request = urllib.request.Request(url, headers={"Accept": ", ".join(_MANIFESTS)})  # noqa: S310
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    answer: HTTPResponse
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        body = answer.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            raise ValueError("the manifest is larger than 4 MiB")
        return answer.headers.get("Docker-Content-Digest"), body
