"""A small port inside the cluster that answers what one run waits for, and its place in line.

Only the leader knows, so a caller finds it by the Lease's holder. Callers show a service account token, which the
apiserver reviews; only the accounts that the settings name are answered. Where no network policy is enforced any pod may ask: a
token that claims to be of another account costs no review, and an address shows a limited number of forged ones.
"""

import hashlib
import math
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from aiohttp import web
from tidegate_api.pod_tokens import claimed_account

from tidegate_operator.http_server import Port
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED
from tidegate_operator.policies.decision import DecisionContext
from tidegate_operator.policies.why import explain
from tidegate_operator.records.run import RunRecord
from tidegate_operator.state.cache import Cache

AUDIENCE: Final = "tidegate-operator"
PATH: Final = "/why/v1/namespaces/{namespace}/taskruns/{name}"
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 1000
MOST_REFUSED: Final = 30
"""Reviewed tokens that are no good, from one address in `WINDOW_SECONDS`."""
WINDOW_SECONDS: Final = 60.0
PROBLEM: Final = "application/problem+json"


class WhyServer(Port):
    """Answers `GET` on PATH while `leading` says so."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        *,
        context: Callable[[RunRecord, float], DecisionContext],
        leading: Callable[[], bool],
        callers: Collection[str],
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._cache, self._context, self._leading = client, cache, context, leading
        self._callers, self._clock = frozenset(callers), clock
        self._reviewed: dict[str, tuple[float, str]] = {}
        """User name by the hash of a token, until when it is remembered."""
        self._refused: Counter[str] = Counter()
        """By address, since the window began."""
        self._window_ends = 0.0
        super().__init__(host=host, port=port, pages={PATH: self._answer}, tls=tls)

    async def _answer(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _problem(401, "a service account token is needed")
        address = request.remote or ""
        claimed = claimed_account(token, audience=AUDIENCE)
        if claimed not in self._callers:
            return _problem(403 if claimed else 401, "this account may not ask")
        try:
            user = self._known(token)
            if user is None:
                if (wait := self._wait_of(address)) > 0:
                    return _problem(429, "this address has sent too many tokens that are no good", wait=wait)
                user = await self._review(token, address)
        except REQUEST_FAILED:
            return _problem(503, "the token can't be reviewed now")
        if user not in self._callers:
            return _problem(403 if user else 401, "this account may not ask")
        if not self._leading() or not self._cache.complete:
            return _problem(503, "this replica does not lead")
        run = self._cache.find_run(request.match_info["namespace"], request.match_info["name"])
        if run is None:
            return _problem(404, "there is no such TaskRun")
        return web.json_response(self._why(run))

    def _why(self, run: RunRecord) -> dict[str, object]:
        now = self._clock()
        why, place = explain(run, self._context(run, now), now), self._cache.admission.place(run.uid)
        answer: dict[str, object] = {
            "uid": run.uid,
            "phase": str(run.status.phase),
            "reason": why.reason,
            "message": why.message,
        }
        if place is not None:
            answer["place"] = {
                "position": place.position,
                "aheadByPriority": place.ahead_by_priority,
                "waiting": place.waiting,
            }
        return answer

    def _wait_of(self, address: str) -> float:
        """Seconds until this address may have another token reviewed."""
        now = self._clock()
        if not 0 <= self._window_ends - now <= WINDOW_SECONDS:
            self._refused.clear()
            self._window_ends = now + WINDOW_SECONDS
        return self._window_ends - now if self._refused[address] >= MOST_REFUSED else 0.0

    def _known(self, token: str) -> str | None:
        """The user name of a token that was reviewed a moment ago."""
        until, user = self._reviewed.get(_digest(token), (0.0, ""))
        return user if self._clock() < until else None

    async def _review(self, token: str, address: str) -> str:
        """The reviewed user name; empty for a token that is no good."""
        self._refused[address] += 1  # before the answer: of many at once none slips by uncounted
        counts = False
        try:
            user = await self._ask(token)
            counts = user not in self._callers
        finally:
            self._refused[address] -= not counts
        if len(self._reviewed) >= MOST_REMEMBERED:
            self._reviewed.clear()
        self._reviewed[_digest(token)] = (self._clock() + REMEMBERED_SECONDS, user)
        return user

    async def _ask(self, token: str) -> str:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        # It stores nothing, so it isn't a write that a lost Lease forbids.
        status = (await self._client.review(review)).get("status") or {}
        good = status.get("authenticated") and AUDIENCE in (status.get("audiences") or ())
        return (status.get("user") or {}).get("username", "") if good else ""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _problem(status: int, title: str, *, wait: float = 0.0) -> web.Response:
    headers = {"Retry-After": str(math.ceil(wait))} if wait else None
    return web.json_response({"title": title, "status": status}, status=status, content_type=PROBLEM, headers=headers)
