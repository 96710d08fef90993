"""What GitHub's sign-in for web applications does, by its documentation: codes good once and for ten minutes, PKCE, errors
reported with status 200, and an API that answers in pages. The real one can't be reached by tests."""

import base64
import hashlib
import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT_ID, CLIENT_SECRET = "Iv1.tidegate", "a secret between GitHub and us"
A_PAGE = 30
"""Items of a page when the request doesn't say otherwise."""


@dataclass(kw_only=True)
class Account:
    """A user's account."""

    id: int
    login: str
    emails: list[dict[str, Any]]
    organisations: list[str] = field(default_factory=list)
    name: str | None = None


class GitHub:
    """It serves while it is open."""

    def __init__(self, accounts: list[Account]) -> None:
        self.accounts = {account.login: account for account in accounts}
        self.refuses: int | None = None
        """A status that its API answers everything with."""
        self._codes: dict[str, tuple[str, dict[str, str]]] = {}
        self._tokens: dict[str, str] = {}

    def sign_in(self, url: str, *, login: str) -> str:
        """A user follows the link that our app has made, and agrees; the URL that they are sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.url}/login/oauth/authorize?"), url
        assert (asked["client_id"], asked["code_challenge_method"]) == (CLIENT_ID, "S256")
        assert set(asked["scope"].split()) == {"read:user", "user:email", "read:org"}
        code = secrets.token_hex(10)
        self._codes[code] = (login, asked)
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], *, basic: str | None) -> dict[str, str]:
        """What /login/oauth/access_token says."""
        given = (form.get("client_id"), form.get("client_secret"))
        if basic is not None:
            given = tuple(base64.b64decode(basic).decode().split(":", 1))  # type: ignore[assignment]
        if given != (CLIENT_ID, CLIENT_SECRET):
            return {"error": "incorrect_client_credentials", "error_description": "The client_id is incorrect."}
        login, asked = self._codes.pop(form.get("code", ""), ("", {}))
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() == asked.get("code_challenge")
        if not login or not proven or form.get("redirect_uri") != asked["redirect_uri"]:
            return {"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}
        token = f"gho_{secrets.token_hex(18)}"
        self._tokens[token] = login
        return {"access_token": token, "scope": asked["scope"].replace(" ", ","), "token_type": "bearer"}

    def answer(self, path: str, *, token: str, size: int, page: int) -> tuple[int, Any]:
        """Status and content of a call of its API."""
        if self.refuses is not None:
            return self.refuses, {"message": "Sorry"}
        account = self.accounts.get(self._tokens.get(token, ""))
        if account is None:
            return 401, {"message": "Bad credentials"}
        lists: dict[str, list[dict[str, Any]]] = {
            "/user/emails": account.emails,
            "/user/orgs": [{"login": name, "id": number} for number, name in enumerate(account.organisations)],
        }
        if path == "/user":
            return 200, {"id": account.id, "login": account.login, "name": account.name, "email": None}
        if path in lists:
            return 200, lists[path][(page - 1) * size : page * size]
        return 404, {"message": "Not Found"}

    def __enter__(self) -> Self:
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
                reported = github.token(form, basic=credentials if kind == "Basic" else None)
                if "json" in self.headers.get("Accept", ""):
                    self._send(200, "application/json", json.dumps(reported))
                else:
                    self._send(200, "application/x-www-form-urlencoded", urlencode(reported))

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
                status, content = github.answer(
                    url.path.removeprefix("/api"),
                    token=self.headers.get("Authorization", "").removeprefix("Bearer "),
                    size=min(100, query.get("per_page", A_PAGE)),
                    page=query.get("page", 1),
                )
                self._send(status, "application/json; charset=utf-8", json.dumps(content))

            def _send(self, status: int, kind: str, content: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
