"""Pods of runs, and what they call of the web app."""

from collections.abc import Mapping
from typing import Any

from werkzeug.test import TestResponse

from support.runs import Json
from support.web import Parts, Stack


class Pod:
    """A pod of a run, and what it can call."""

    def __init__(
        self, stack: Stack, parts: Parts, name: str = "works", attempt: int = 1, *, run: Json | None = None
    ) -> None:
        self.parts = parts
        self.run = run or stack.runs.create(name)
        self.uid: str = self.run["metadata"]["uid"]
        self.job = stack.runs.job(self.run, attempt)
        self.pod = stack.runs.pod(f"{name}-pod-{attempt}", owner=self.job, run_uid=self.uid)
        self.token = stack.runs.token(self.pod)

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    def report(self, body: object, *, uid: str | None = None, token: str | None = None, **options: Any) -> TestResponse:
        """Progress."""
        return self.call("POST", "progress", uid=uid, token=token, json=body, **options)

    def call(
        self,
        method: str,
        what: str,
        *,
        uid: str | None = None,
        token: str | None = None,
        address: str = "192.0.2.1",
        more: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TestResponse:
        """``address``: where the pod connects from; ``more``: headers."""
        token = self.token if token is None else token
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | dict(more or {})
        options["environ_base"] = {"REMOTE_ADDR": address}
        path = f"/internal/v1/runs/{uid or self.uid}/{what}"
        return self.parts.pods().open(path, method=method, headers=headers, **options)

    def send(self, what: str, data: bytes, *, method: str = "PUT") -> TestResponse:
        """A document, as it is."""
        return self.call(method, what, data=data, content_type="application/json")
