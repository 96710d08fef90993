"""The few questions asked of an apiserver while starting it, without the cost of a kubectl process for each."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pki import Certificate


@dataclass(frozen=True, slots=True)
class Api:
    """An apiserver as one user sees it."""

    url: str
    ca: Path
    token: str | None = None
    certificate: Certificate | None = None

    def status(self, path: str, *, timeout: float = 2) -> int:
        """The HTTP status of a GET, 0 if there was no answer."""
        try:
            with self._open(path, timeout=timeout) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def get(self, path: str, *, timeout: float = 5) -> Any:
        """The object at a path, or None if there is none or no answer."""
        try:
            with self._open(path, timeout=timeout) as answer:
                return json.load(answer)
        except OSError:
            return None

    def _open(self, path: str, *, timeout: float) -> Any:
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.certificate:
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - always https
        # An empty ProxyHandler: a proxy of the host's environment can't reach our addresses.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        return opener.open(request, timeout=timeout)
