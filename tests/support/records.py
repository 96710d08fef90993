"""Builders of the operator's records: `an_attempt().pod(phase="Running").built`."""

from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any, Self, cast

from tidegate_api.bodies import AttemptBody, ScheduleSpecBody, ScheduleStatusBody
from tidegate_api.names import Phase
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.attempt import AttemptRecord, PodRecord
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.pool import Handover
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.run import Plan, RunRecord, RunTracking, StatusRecord
from tidegate_operator.state.attempts import AttemptIndex
from tidegate_operator.state.handovers import HandoverIndex
from tidegate_operator.state.quarantine import Quarantine

NOW = 1_000_000.0


class AttemptBuilder:
    """An attempt, with its pods."""

    def __init__(self, *, number: int = 1, created: float = NOW - 100, **plan: Any) -> None:
        self._attempt = AttemptRecord(
            run_uid="run-uid",
            namespace="default",
            number=number,
            job_name=f"run-abcd-{number}",
            job_uid=f"job-{number}",
            created=created,
            plan=Plan(**plan),
        )

    def pod(self, *, phase: str, **fields: Any) -> Self:
        """One more pod, newer than those before."""
        count = len(self._attempt.pods) + 1
        base = PodRecord(
            uid=f"pod-{count}",
            name=f"{self._attempt.job_name}-{count}",
            version=count,
            job_uid=self._attempt.job_uid,
            phase=phase,
            created=self._attempt.created + count,
            received=NOW,
            node="node-1",
        )
        pod = replace(base, **fields)
        self._attempt.pods[pod.uid] = pod
        return self

    @property
    def built(self) -> AttemptRecord:
        """The record."""
        return self._attempt


def an_attempt(**fields: Any) -> AttemptBuilder:
    """An attempt whose Job was made 100 seconds before NOW."""
    return AttemptBuilder(**fields)


def a_handover(ident: str = "0123456789ab-1", *, pod_uid: str = "pod-uid", pool: str = "warm") -> Handover:
    """A hand-over to a worker."""
    return Handover(ident=ident, pool=pool, pod_uid=pod_uid, pod_name="warm-1", node="node-1")


def a_handover_attempt(
    end: ProcessEnd | None = None, *, number: int = 1, started: float = NOW - 10, **plan: Any
) -> AttemptRecord:
    """An attempt that was given to a worker ten seconds before NOW, and has ended if `end` says how."""
    index = HandoverIndex(AttemptIndex({}, Quarantine(Metrics())), on_change=lambda _: None)
    attempt = index.put(
        a_handover(),
        run_uid="run-uid",
        namespace="default",
        number=number,
        plan=Plan(pool="warm", **plan),
        key="",
        started=started,
        now=started,
    )
    index.is_held(attempt)
    if end is not None:
        index.ended(attempt, end, now=NOW)
    return attempt


def a_run_record(
    *, phase: Phase = Phase.PENDING, attempts: list[AttemptBody] | None = None, **fields: Any
) -> RunRecord:
    """A run that was created 200 seconds before NOW."""
    status = StatusRecord(phase=phase, attempts=attempts or [])
    for name in ("reason", "started_at", "finished_at", "kept_since", "next_attempt_at", "disruptions"):
        if name in fields:
            setattr(status, name, fields.pop(name))
    tracked = {f.name: fields.pop(f.name) for f in dataclass_fields(RunTracking) if f.name in fields}
    base = RunRecord(
        tracked=RunTracking(**tracked),
        uid="run-uid",
        namespace="default",
        name="run",
        version=7,
        generation=1,
        created=NOW - 200,
        seen=NOW - 200,
        task_ref=None,
        queue=None,
        cancel=False,
        ttl=None,
        refusal=None,
        status=status,
    )
    return replace(base, **fields)


def a_schedule_record(*, status: ScheduleStatusBody | None = None, **fields: Any) -> ScheduleRecord:
    """A Schedule of every minute, made an hour before NOW. What isn't a field of the record is one of its spec."""
    own = {k: fields.pop(k) for k in ("name", "created", "generation", "version", "uid") if k in fields}
    spec = {"cron": "* * * * *", "template": {"spec": {"taskRef": {"name": "t"}}}, **fields}
    base = ScheduleRecord(
        uid="schedule-uid",
        namespace="default",
        name="tick",
        version=3,
        generation=1,
        created=NOW - 3600,
        spec=cast("ScheduleSpecBody", spec),
        status=status or {},
    )
    return replace(base, **own)
