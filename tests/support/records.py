"""Builders of the operator's records: `an_attempt().pod(phase="Running").built`."""

from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any, Self, cast

from tidegate_api.bodies import AttemptBody, ScheduleSpecBody, ScheduleStatusBody
from tidegate_api.names import Phase
from tidegate_operator.records.attempt import AttemptRecord, PodRecord
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.run import Plan, RunRecord, RunTracking, StatusRecord

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


def a_run_record(
    *, phase: Phase = Phase.PENDING, attempts: list[AttemptBody] | None = None, **fields: Any
) -> RunRecord:
    """A run that was created 200 seconds before NOW."""
    status = StatusRecord(phase=phase, attempts=attempts or [])
    for name in ("reason", "started_at", "finished_at", "next_attempt_at", "disruptions"):
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
