"""Objects that are set aside: reading one, deciding on it or writing it broke, and nothing else may suffer for it.

Errors of the surroundings (an apiserver that is away, a conflict) are met by backing off. Any other error is taken for a
fault of one object, whatever its cause. It stops at three doors: the cache, which turns an object that it can't parse into a
record that says so; the workqueue, where an exception of one key stays with that key; and admission, where one queue that
can't be judged lets nothing start and holds up no other. All three report here: a metric, and one log line with a trace.
Objects that are set aside are tried again when they change, and every RETRY_SECONDS.
"""

from typing import Final

import structlog

from tidegate_operator.metrics import Metrics
from tidegate_operator.records.faults import Fault, Ref

RETRY_SECONDS: Final = 300.0
KINDS: Final = (
    "taskruns",
    "tasks",
    "queues",
    "schedules",
    "workerpools",
    "jobs",
    "pods",
    "deployments",
    "workers",
)


class Quarantine:
    """The objects that are set aside at the moment."""

    def __init__(self, metrics: Metrics) -> None:
        self._faults: dict[tuple[str, str], tuple[Ref, Fault]] = {}
        self._gauge = metrics.set_aside
        for kind in KINDS:
            self._gauge.labels(kind).set(0)
        self._log = structlog.get_logger(__name__)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is set aside."""
        return not self._faults

    @property
    def size(self) -> int:
        """How many objects are set aside."""
        return len(self._faults)

    def put(self, ref: Ref, fault: Fault, error: BaseException | None = None) -> None:
        """Set an object aside. A fault that is known already is not logged again."""
        known = self._faults.get((ref.kind, ref.uid))
        self._faults[ref.kind, ref.uid] = (ref, fault)
        self._count(ref.kind)
        if known is None or known[1].doing != fault.doing:
            self._log.error(
                "set aside",
                kind=ref.kind,
                namespace=ref.namespace,
                name=ref.name,
                uid=ref.uid,
                message=fault.message,
                exc_info=error,
            )

    def release(self, kind: str, uid: str, *, doing: str | None = None) -> bool:
        """The object is sound again, or gone; `doing`: as far as that is concerned. Says whether it was set aside."""
        known = self._faults.get((kind, uid))
        if known is None or (doing is not None and known[1].doing != doing):
            return False
        del self._faults[kind, uid]
        self._count(kind)
        ref = known[0]
        self._log.info("no longer set aside", kind=kind, namespace=ref.namespace, name=ref.name, uid=uid)
        return True

    def find(self, kind: str, uid: str) -> Fault | None:
        """Why an object is set aside, if it is."""
        known = self._faults.get((kind, uid))
        return known[1] if known is not None else None

    def _count(self, kind: str) -> None:
        self._gauge.labels(kind).set(sum(1 for known, _ in self._faults if known == kind))
