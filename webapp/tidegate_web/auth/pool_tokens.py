"""Who a run in a pool is: by a token that the operator has signed for one hand-over.

Its signature says whom it speaks for; the run's status says whether that is still so. A token of a hand-over that is over opens
nothing, whatever its expiry.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegate_api import run_tokens as signed
from tidegate_api.names import TERMINAL_PHASES

from tidegate_web.auth.run_identity import LOOK_AGAIN_SECONDS, RunIdentity, RunTokenError
from tidegate_web.cluster.client import Cluster, runs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.json_types import as_object, as_objects

REMEMBERED = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """A hand-over that was going on when its run was last looked at."""

    looked: float
    pod_name: str


class PoolTokens:
    """Checks them. A run is looked at once in a while, not for every request."""

    def __init__(self, *, cluster: Cluster, clock: Clock, keys: Sequence[bytes]) -> None:
        """`keys`: each of them is accepted; none where no pool is served."""
        self._cluster, self._clock, self._keys = cluster, clock, keys
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def identify(self, token: str, *, before_first_look: Callable[[], None], look_now: bool = False) -> RunIdentity:
        """The run that this token opens. RunTokenError when none; ClusterError while the apiserver is away.

        ``before_first_look`` is called before the apiserver is asked for a hand-over that was not found good yet.
        """
        now = self._clock.now().timestamp()
        try:
            claims = signed.verify(token, self._keys, now=now)
        except signed.RunTokenError as error:
            raise RunTokenError(str(error)) from error
        with self._lock:
            known = self._known.get(claims.handover)
        if known is None:
            before_first_look()
        if known is None or look_now or not 0 <= now - known.looked < LOOK_AGAIN_SECONDS:
            known = self._look(claims, known, now=now, must_answer=look_now or known is None)
        return RunIdentity(
            project=claims.namespace,
            run_uid=claims.uid,
            run_name=claims.run,
            attempt=claims.attempt,
            pod_name=known.pod_name,
            pod_uid=claims.pod_uid,
        )

    def _look(self, claims: signed.RunClaims, known: _Known | None, *, now: float, must_answer: bool) -> _Known:
        """Whether the hand-over still goes on. While the apiserver is away, what was known stands."""
        try:
            found = _Known(looked=now, pod_name=_pod_name(self._cluster.get(_path(claims)), claims))
        except ClusterError as error:
            if error.not_found:
                self._forget(claims.handover)
                raise RunTokenError("the run is gone") from error
            if known is None or must_answer or not error.unavailable:
                raise
            return known
        except RunTokenError:
            self._forget(claims.handover)
            raise
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[claims.handover] = found
        return found

    def _forget(self, handover: str) -> None:
        with self._lock:
            self._known.pop(handover, None)


def _path(claims: signed.RunClaims) -> str:
    return f"{runs_path(claims.namespace)}/{claims.run}"


def _pod_name(run: KubeObject, claims: signed.RunClaims) -> str:
    """Name of the pod that the hand-over's run is in. RunTokenError where its status names another, or its end."""
    if run["metadata"]["uid"] != claims.uid:
        raise RunTokenError("the run is gone")
    status = as_object(run.get("status"))
    attempts = as_objects(status.get("attempts"))
    last = attempts[-1] if attempts else {}
    if status.get("phase") in TERMINAL_PHASES or last.get("outcome"):
        raise RunTokenError("the attempt is over")
    if last.get("handover") != claims.handover:
        raise RunTokenError("the run is elsewhere by now")
    return str(last.get("podName") or "")
