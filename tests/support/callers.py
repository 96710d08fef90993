"""Who calls the web app in tests: a browser's session without the browser, and a pipeline with its key."""

import re
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def csrf_token(answer: TestResponse) -> str:
    return csrf_token_of(answer.text)


def csrf_token_of(page: str) -> str:
    found = re.search(r'(?:name="csrf-token" content|name="csrf_token" value)="([^"]+)"', page)
    return found.group(1) if found else ""


@dataclass(kw_only=True)
class SignedIn:
    """A browser's session, without the browser."""

    client: FlaskClient
    csrf: str
    project: str

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(self._path(path), **options)

    def post(self, path: str, body: object = None, **options: Any) -> TestResponse:
        headers = {"X-CSRFToken": self.csrf} | options.pop("headers", {})
        return self.client.post(self._path(path), json=body, headers=headers, **options)

    def call(self, method: str, path: str, body: object = None, **options: Any) -> TestResponse:
        headers = {"X-CSRFToken": self.csrf} | options.pop("headers", {})
        return self.client.open(self._path(path), method=method, json=body, headers=headers, **options)

    def form(self, path: str, **fields: str) -> TestResponse:
        """Send a page's form."""
        return self.client.post(path, data={"csrf_token": self.csrf, **fields})

    def _path(self, path: str) -> str:
        return path if path.startswith("/") else f"/api/v1/projects/{self.project}/{path}"

    def cookie(self) -> str:
        found = self.client.get_cookie("tidegate")
        assert found is not None
        return f"tidegate={found.value}"


@dataclass(kw_only=True)
class WithKey:
    """A pipeline: no cookie, an API key in each request."""

    client: FlaskClient
    key: str
    id: int
    project: str

    def call(self, method: str, path: str, body: object = None, **options: Any) -> TestResponse:
        if not path.startswith("/"):
            path = f"/api/v1/projects/{self.project}/{path}"
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return self.client.open(path, method=method, json=body, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> TestResponse:
        return self.call("POST", path, body, **options)
