"""What a run waits for, asked of the operator's leader: it alone knows, and writes nothing of it, for the answer changes
with every other run.

The leader is the pod that the Lease names. There may be none for a while, or one that is stuck: no caller waits long for an
answer, and whatever goes wrong is a LeaderError with words for people.
"""

import json
import time
from dataclasses import dataclass
from typing import Any, NotRequired
from urllib.parse import quote

import structlog
import urllib3
from typing_extensions import TypedDict

from tidegate_web.cluster.client import Cluster, lease_path, pods_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.lease import Lease
from tidegate_web.settings import WebSettings
from tidegate_web.shared.json_types import as_text

log = structlog.stdlib.get_logger(__name__)

SECONDS = 2.0
"""So long may each step take."""
REMEMBERED_SECONDS = 2.0
"""So long the leader's address, or that there is none, is taken for true."""
MOST_BYTES = 64 * 1024
NONSENSE = "The operator's leader answers what can't be understood."
UNKNOWN = (0.0, "", "")


class LeaderError(Exception):
    """It isn't known at the moment; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run stands in its line; 1 is next."""

    position: int
    ahead_by_priority: int
    waiting: int


class PlaceAnswer(TypedDict):
    """Where a run stands in its line; 1 is next."""

    position: int
    aheadByPriority: int
    waiting: int


class WhyAnswer(TypedDict):
    """What holds a run right now, and its place in line while that is its queue."""

    reason: str
    message: str
    place: NotRequired[PlaceAnswer]


@dataclass(frozen=True, kw_only=True)
class Why:
    """What holds a run right now."""

    reason: str
    message: str
    place: Place | None = None

    def as_json(self) -> WhyAnswer:
        answer: WhyAnswer = {"reason": self.reason, "message": self.message}
        if self.place is not None:
            answer["place"] = {
                "position": self.place.position,
                "aheadByPriority": self.place.ahead_by_priority,
                "waiting": self.place.waiting,
            }
        return answer


class Leader:
    """The operator's leader, found again every few seconds."""

    def __init__(self, *, cluster: Cluster, settings: WebSettings) -> None:
        self._cluster = cluster
        self._token_file = settings.operator_token_file
        self._namespace, self._lease = settings.operator_lease_namespace, settings.operator_lease_name
        self._port = settings.operator_port
        self._scheme, self._pool = "http", urllib3.PoolManager(maxsize=8)
        if settings.operator_ca_file is not None:
            # The file is read at each connection, so a renewed one counts.
            self._scheme, self._pool = (
                "https",
                urllib3.PoolManager(
                    maxsize=8,
                    ca_certs=str(settings.operator_ca_file),
                    cert_reqs="CERT_REQUIRED",
                    server_hostname=settings.operator_server_name,
                    assert_hostname=settings.operator_server_name,
                ),
            )
        self._known = UNKNOWN
        """Until when it holds, the address, why there is none."""

    def why(self, project: str, name: str, *, uid: str) -> Why:
        """What this very run waits for."""
        path = f"/why/v1/namespaces/{project}/taskruns/{name}"
        try:
            token = self._token()
            status, answer = self._get(self._address(), path, token=token)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._known = UNKNOWN
            log.info("the leader doesn't answer", error=str(error))
            raise LeaderError("The operator's leader doesn't answer.") from error
        if status == 404:
            raise LeaderError("The operator's leader has not seen this run.")
        if status == 503:
            self._known = UNKNOWN
            raise LeaderError("The operator's leader doesn't know yet.")
        if status != 200:
            log.warning("the leader refuses to answer", status=status)
            raise LeaderError(f"The operator's leader refuses: it answers {status}.")
        return _parse(answer, uid=uid)

    def lease(self) -> Lease | None:
        """The operator's Lease as it is now, None when there is none; ClusterError when it can't be read."""
        try:
            return self._cluster.get_lease(lease_path(self._namespace, self._lease), timeout=SECONDS)
        except ClusterError as error:
            if error.not_found:
                return None
            raise

    def _token(self) -> str:
        if self._token_file is None:
            raise LeaderError("This installation doesn't ask the operator: TIDEGATE_OPERATOR_TOKEN_FILE isn't set.")
        try:
            # Read each time: the kubelet renews it.
            return self._token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            log.warning("no token for the operator", file=str(self._token_file), error=str(error))
            raise LeaderError("The token for the operator can't be read.") from error

    def _address(self) -> str:
        until, address, trouble = self._known
        if until < time.monotonic():
            address, trouble = self._find()
            self._known = (time.monotonic() + REMEMBERED_SECONDS, address, trouble)
        if trouble:
            raise LeaderError(trouble)
        return address

    def _find(self) -> tuple[str, str]:
        """The leader's address, else why there is none."""
        no_leader = "No operator leads at the moment."
        try:
            lease = self._cluster.get(lease_path(self._namespace, self._lease), timeout=SECONDS)
            holder = as_text(lease.get("spec", {}).get("holderIdentity"))
            if not holder:
                return "", no_leader
            path = f"{pods_path(self._namespace)}/{quote(holder, safe='')}"
            status = self._cluster.get(path, timeout=SECONDS).get("status") or {}
        except ClusterError as error:
            if error.not_found:
                return "", no_leader
            log.warning("the leader can't be found", status=error.status, reason=error.message)
            return "", "Kubernetes doesn't say which operator leads."
        address = as_text(status.get("podIP"))
        if status.get("phase") != "Running" or not address:
            return "", no_leader
        return (f"[{address}]" if ":" in address else address), ""

    def _get(self, address: str, path: str, *, token: str) -> tuple[int, object]:
        response = self._pool.request(
            "GET",
            f"{self._scheme}://{address}:{self._port}{path}",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=urllib3.Timeout(total=SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            data = response.read(MOST_BYTES)
            return response.status, json.loads(data) if response.status == 200 else None
        except (ValueError, RecursionError) as error:
            raise LeaderError(NONSENSE) from error
        finally:
            response.close()


def _parse(answer: Any, *, uid: str) -> Why:
    try:
        place = answer.get("place")
        if answer["uid"] != uid:
            raise LeaderError("The operator's leader knows another run of this name.")
        return Why(
            reason=str(answer["reason"]),
            message=str(answer.get("message") or ""),
            place=None
            if place is None
            else Place(
                position=int(place["position"]),
                ahead_by_priority=int(place["aheadByPriority"]),
                waiting=int(place["waiting"]),
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LeaderError(NONSENSE) from error
