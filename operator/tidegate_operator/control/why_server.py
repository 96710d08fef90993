"""A small port inside the cluster that answers what one run waits for, and its place in line.

Only the leader knows, so a caller finds it by the Lease's holder. Callers show a service account token, which the
apiserver reviews; only the accounts that the settings name are answered.
"""

import hashlib
import time
from collections.abc import Callable, Collection
from typing import Final

from aiohttp import web

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._cache, self._context, self._leading = client, cache, context, leading
        self._callers, self._clock = frozenset(callers), clock
        self._reviewed: dict[str, tuple[float, str]] = {}
        """User name by the hash of a token, until when it is remembered."""
        super().__init__(host=host, port=port, pages={PATH: self._answer})

    async def _answer(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _problem(401, "a service account token is needed")
        try:
            user = await self._user_of(token)
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

    async def _user_of(self, token: str) -> str:
        """The reviewed user name; empty for a token that is no good."""
        digest, now = hashlib.sha256(token.encode()).hexdigest(), self._clock()
        until, user = self._reviewed.get(digest, (0.0, ""))
        if now < until:
            return user
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        # It stores nothing, so it isn't a write that a lost Lease forbids.
        status = (await self._client.review(review)).get("status") or {}
        good = status.get("authenticated") and AUDIENCE in (status.get("audiences") or ())
        user = (status.get("user") or {}).get("username", "") if good else ""
        if len(self._reviewed) >= MOST_REMEMBERED:
            self._reviewed.clear()
        self._reviewed[digest] = (now + REMEMBERED_SECONDS, user)
        return user


def _problem(status: int, title: str) -> web.Response:
    return web.json_response({"title": title, "status": status}, status=status, content_type=PROBLEM)
