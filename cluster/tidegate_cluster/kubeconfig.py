"""Kubeconfig files, written as JSON (which is YAML too) so that no YAML library is needed."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .pki import Certificate


def write(
    path: Path, *, server: str, ca: Path, name: str, token: str | None = None, certificate: Certificate | None = None
) -> Path:
    """Write a kubeconfig with one cluster, user and context, all called `name`; credentials are embedded."""
    user: Mapping[str, str] = {"token": token} if token else {}
    if certificate:
        user = {
            "client-certificate-data": _embedded(certificate.certificate),
            "client-key-data": _embedded(certificate.key),
        }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": _embedded(ca)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(config, file, indent=1)
    return path


def _embedded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
