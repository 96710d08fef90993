"""Pods of runs, and what they call of the web app."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate_api.run_tokens import RunClaims, sign
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


class PoolRun(Pod):
    """A run that was given to a worker of a pool, and what it can call."""

    def __init__(self, stack: Stack, parts: Parts, name: str = "warm", *, key: bytes, lives: float = 3600) -> None:
        self.parts = parts
        self.run = stack.runs.create(name, task={"pool": "p", "entrypoint": "a:b"})
        self.uid = self.run["metadata"]["uid"]
        self.handover = f"0123456789ab-{name}"
        self._claims = RunClaims(
            namespace=stack.project,
            run=name,
            uid=self.uid,
            attempt=1,
            handover=self.handover,
            pod_uid="worker-uid",
            expires=int(time.time() + lives),
        )
        self.token = sign(self._claims, key)
        self.give(stack)

    def give(self, stack: Stack, *, handover: str = "", **end: str) -> None:
        """Write into the run's status that a worker has it, or another."""
        attempt = {"number": 1, "pool": "p", "podName": "p-1", "podUid": "worker-uid", **end}
        attempts = [{**attempt, "handover": handover or self.handover}]
        stack.runs.status(self._claims.run, phase="Running", attempts=attempts)

    def token_of(self, key: bytes, **claims: Any) -> str:
        """A token that says otherwise."""
        return sign(replace(self._claims, **claims), key)
