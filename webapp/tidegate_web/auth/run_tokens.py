"""Who a pod is: from its projected token to the run and attempt it works for, by ownership alone.

TokenReview names the pod; the pod's controller must be a Job, and that Job's controller a TaskRun. Labels say nothing
here: anyone who can make a pod can put any label on it.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tidegate_api import run_tokens as signed
from tidegate_api.job_names import attempt_of_job
from tidegate_api.pod_tokens import bound_pod, expiry

from tidegate_web.auth.pool_tokens import PoolTokens
from tidegate_web.auth.rate_limit import RateLimiter
from tidegate_web.auth.run_identity import LOOK_AGAIN_SECONDS, RunIdentity, RunTokenError
from tidegate_web.cluster.client import Cluster, jobs_path, pods_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject, controller_of
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.json_types import as_object

AUDIENCE = "tidegate"
REFUSED_SECONDS = 60.0
"""How long a token that opened nothing is refused without asking again."""
POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"


class TooManyRefusedError(Exception):
    """The client has shown too many tokens that open nothing; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many tokens that open nothing")
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What a token was found to stand for, and when its pod was last seen."""

    expires: float
    looked: float
    identity: RunIdentity


class RunTokens:
    """Checks run tokens, each token string once: remembered by its hash until it expires or its pod is gone.

    A token that opens nothing is remembered for a minute, and counted for the address that it came from: ``refusals`` says how
    many of them an address may show. Tokens that are good count for nothing, so pods behind one address don't limit each other.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        clock: Clock,
        pools: PoolTokens | None = None,
        refusals: RateLimiter | None = None,
        remember: int = 20_000,
    ) -> None:
        """``pools``: who checks the tokens of runs in pools."""
        self._cluster = cluster
        self._clock = clock
        self._pools = pools
        self._refusals = refusals
        self._remember = remember
        self._known: dict[bytes, _Known] = {}
        self._refused: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def identify(self, token: str, *, client: str = "", look_now: bool = False) -> RunIdentity:
        """The run that this token opens. RunTokenError when none; TooManyRefusedError when the address ``client`` has shown too
        many of those; ClusterError while the apiserver is away.

        A pod that was seen a moment ago is believed to be there, unless ``look_now``.
        """
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock.now().timestamp()
        if self._pools is not None and signed.looks_like_one(token):
            return self._of_pool(self._pools, token, digest, client=client, now=now, look_now=look_now)
        with self._lock:
            known = self._known.get(digest)
            look = known is not None and (look_now or not 0 <= now - known.looked < LOOK_AGAIN_SECONDS)
            if known is not None and look:
                self._known[digest] = replace(known, looked=now)  # one request looks, the others go on
        if known is not None and known.expires > now:
            if look:
                self._look(digest, known.identity, must_answer=look_now)
            return known.identity
        identity = self._ask_once(token, digest, client=client, now=now)
        with self._lock:
            if len(self._known) >= self._remember:
                self._known = {key: value for key, value in self._known.items() if value.expires > now}
            if len(self._known) < self._remember:
                self._known[digest] = _Known(expires=expiry(token), looked=now, identity=identity)
        return identity

    def _of_pool(
        self, pools: PoolTokens, token: str, digest: bytes, *, client: str, now: float, look_now: bool
    ) -> RunIdentity:
        """A token that the operator has signed. One that is no good is remembered and counted as others are: that of a hand-over
        which is over never opens anything again."""
        self._check_not_refused(digest, now=now)
        subject = _subject(client)

        def check() -> None:
            self._check_client(subject)

        try:
            return pools.identify(token, before_first_look=check, look_now=look_now)
        except RunTokenError as error:
            self._check_client(subject)
            self._refuse(digest, subject, str(error), now=now)
            raise

    def _check_client(self, subject: str) -> None:
        """May this address show more tokens? TooManyRefusedError if not."""
        if self._refusals is not None and (bucket := self._refusals.look(subject)) is not None and not bucket.taken:
            raise TooManyRefusedError(bucket.retry_after)

    def _check_not_refused(self, digest: bytes, *, now: float) -> None:
        with self._lock:
            until, words = self._refused.get(digest, (0.0, ""))
        if now < until:
            raise RunTokenError(words)

    def _refuse(self, digest: bytes, subject: str, words: str, *, now: float) -> None:
        """Count a token that opens nothing for its address, and remember it."""
        if self._refusals is not None:
            self._refusals.take(subject)
        with self._lock:
            self._refused[digest] = (now + REFUSED_SECONDS, words)
            while len(self._refused) > self._remember:
                self._refused.popitem(last=False)

    def _look(self, digest: bytes, identity: RunIdentity, *, must_answer: bool) -> None:
        """Whether the pod is still there. While the apiserver is away, what was known stands."""
        try:
            self._get(f"{pods_path(identity.project)}/{identity.pod_name}", uid=identity.pod_uid)
        except RunTokenError:
            with self._lock:
                self._known.pop(digest, None)
            raise
        except ClusterError as error:
            if must_answer or not error.unavailable:
                raise

    def _ask_once(self, token: str, digest: bytes, *, client: str, now: float) -> RunIdentity:
        """As ``_ask``, but a token that can't be good, or was refused a moment ago, costs the apiserver nothing."""
        if bound_pod(token, audience=AUDIENCE) is None:
            raise RunTokenError("it is no token of a pod for Tidegate")
        self._check_not_refused(digest, now=now)
        subject = _subject(client)
        self._check_client(subject)
        try:
            return self._ask(token)
        except RunTokenError as error:
            self._refuse(digest, subject, str(error), now=now)
            raise

    def _ask(self, token: str) -> RunIdentity:
        status = self._cluster.review_token(token, audience=AUDIENCE)
        audiences = status.get("audiences")
        if not status.get("authenticated") or not isinstance(audiences, list) or AUDIENCE not in audiences:
            raise RunTokenError("the token is not valid for Tidegate")
        user = as_object(status.get("user"))
        extra = as_object(user.get("extra"))
        pod_name, pod_uid = _single(extra, POD_NAME), _single(extra, POD_UID)
        parts = str(user.get("username") or "").split(":")  # system:serviceaccount:<namespace>:<name>
        if pod_name is None or pod_uid is None or parts[:2] != ["system", "serviceaccount"] or len(parts) != 4:
            raise RunTokenError("the token is not bound to a pod")
        project = parts[2]
        pod = self._get(f"{pods_path(project)}/{pod_name}", uid=pod_uid)
        job_owner = controller_of(pod, kind="Job")
        if job_owner is None:
            raise RunTokenError("the pod doesn't belong to a run")
        job = self._get(f"{jobs_path(project)}/{job_owner[0]}", uid=job_owner[1])
        run_owner = controller_of(job, kind="TaskRun")
        if run_owner is None:
            raise RunTokenError("the pod doesn't belong to a run")
        attempt = attempt_of_job(job_owner[0], run=run_owner[0], run_uid=run_owner[1])
        if attempt is None:
            raise RunTokenError("the pod's Job is not of an attempt of its run")
        return RunIdentity(
            project=project,
            run_uid=run_owner[1],
            run_name=run_owner[0],
            attempt=attempt,
            pod_name=pod_name,
            pod_uid=pod_uid,
        )

    def _get(self, path: str, *, uid: str) -> KubeObject:
        try:
            found = self._cluster.get(path)
        except ClusterError as error:
            if error.not_found:
                raise RunTokenError("the pod is gone") from error
            raise
        if found["metadata"]["uid"] != uid:
            raise RunTokenError("the pod is gone")
        return found


def _subject(client: str) -> str:
    """What the refusals of an address are counted under."""
    # By the whole address: in a cluster with IPv6 the pods of a node share a /64. A pod on a dual stack has two, and so twice the allowance.
    return f"refused:{client}"


def _single(extra: Mapping[str, object], key: str) -> str | None:
    values = extra.get(key)
    return str(values[0]) if isinstance(values, list) and len(values) == 1 else None
