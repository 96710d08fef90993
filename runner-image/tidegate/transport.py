"""One way to speak HTTP: JSON in and out, errors in the server's words, and another try when that may help.

A request is sent again after 429, 502, 503 and 504, by ``Retry-After`` where the answer has it, and when no connection came
about; until its time is over. One whose answer was lost is sent again only if doing it twice does no harm.
Redirects are not followed: they would take the credential elsewhere.
"""

from __future__ import annotations

import codecs
import http.client
import json
import random
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Mapping, NamedTuple, Optional

from tidegate.errors import ApiError, TidegateError

for _codec in ("ascii", "idna", "iso-8859-1"):
    # Loaded at the first request otherwise, by a thread: a child that is forked meanwhile has half a codec for good.
    codecs.lookup(_codec)

TIMEOUT_SECONDS = 15.0
FIRST_DELAY_SECONDS = 0.2
MOST_DELAY_SECONDS = 15.0
MOST_ANSWER_BYTES = 64 * 1024 * 1024
_AGAIN = (429, 502, 503, 504)


class Answer(NamedTuple):
    """What a server answered with success."""

    status: int
    body: bytes
    tries: int
    """1 when the first request was answered."""

    def json(self) -> Any:
        """The body's JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError(f"the answer is not JSON: {error}", status=self.status) from None


class Http:
    """A server, and how to prove who asks: ``authorization`` is called for each request, as tokens are renewed."""

    def __init__(
        self,
        base: str,
        *,
        authorization: Callable[[], str],
        proxies: bool = True,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        if not base.startswith(("http://", "https://")):
            raise ApiError(f"{base!r} is not an http or https address")
        self._base = base.rstrip("/")
        self._authorization = authorization
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if not proxies:
            handlers.append(urllib.request.ProxyHandler({}))
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def call(
        self,
        method: str,
        path: str,
        body: Optional[bytes] = None,
        *,
        seconds: Optional[float],
        repeatable: bool = True,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        """The answer to a request that is tried for ``seconds`` (None: for ever); ApiError when there is none or it is a refusal."""
        until = None if seconds is None else time.monotonic() + seconds
        tries, delay = 0, FIRST_DELAY_SECONDS
        while True:
            tries += 1
            left = None if until is None else until - time.monotonic()
            timeout = TIMEOUT_SECONDS if left is None else max(0.1, min(TIMEOUT_SECONDS, left))
            wait: Optional[float] = None
            try:
                status, data = self._once(method, path, body, timeout, headers or {})
                return Answer(status, data, tries)
            except _Refused as error:
                if error.status not in _AGAIN:
                    raise ApiError(error.words, status=error.status, tries=tries) from None
                problem, wait = ApiError(error.words, status=error.status), error.retry_after
            except ApiError as error:
                if error.lost and not repeatable:
                    raise
                problem = error
            wait = delay * (0.5 + random.random() / 2) if wait is None else wait  # noqa: S311 - spreads, hides nothing
            if until is not None and time.monotonic() + wait >= until:
                raise problem
            time.sleep(wait)
            delay = min(MOST_DELAY_SECONDS, delay * 2)

    def _once(
        self, method: str, path: str, body: Optional[bytes], timeout: float, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        authorization = self._authorization()
        request = urllib.request.Request(
            self._base + path,
            data=body,
            method=method,
            headers={
                **({"Authorization": authorization} if authorization else {}),
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": "tidegate-python",
                **headers,
            },
        )
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                data = answer.read(MOST_ANSWER_BYTES + 1)
                if len(data) > MOST_ANSWER_BYTES:
                    raise ApiError(f"the answer is larger than {MOST_ANSWER_BYTES} bytes", status=answer.status)
                return answer.status, data
        except urllib.error.HTTPError as error:
            with error:
                raise _Refused(error.code, _words(error), _retry_after(error)) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                # No other try would see another certificate.
                words = f"the certificate of {self._base} is not trusted: {error.reason.verify_message}"
                raise _Refused(None, words, None) from None
            # Nothing was sent, or not all of it.
            raise ApiError(f"no connection to {self._base}: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            words = f"no answer from {self._base}: {str(error) or type(error).__name__}"
            raise ApiError(words, lost=True) from None


class _Refused(TidegateError):
    def __init__(self, status: Optional[int], words: str, retry_after: Optional[float]) -> None:
        super().__init__(words)
        self.status, self.words, self.retry_after = status, words, retry_after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _words(error: urllib.error.HTTPError) -> str:
    """What is wrong, of problem+json (``detail``) or a Kubernetes Status (``message``)."""
    try:
        said = json.loads(error.read(65536))
        words = said.get("detail") or said.get("message")
    except (AttributeError, OSError, ValueError, http.client.HTTPException):
        words = None
    return str(words or f"the server answered {error.code} {error.reason}")


def _retry_after(error: urllib.error.HTTPError) -> Optional[float]:
    text = error.headers.get("Retry-After", "")
    return min(60.0, float(text)) if text.isdigit() else None
