"""How runs come to be: looked at before anything is made, made, and kept in the archive so that the next read has them.
One way for a single run, a batch, a replay and a Schedule that is triggered by hand.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.audit.recording import AuditAction
from tidegate_web.auth.actor import Actor
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.cluster.problems import field_of_run, from_cluster
from tidegate_web.projects.host_access_rules import check_host_access
from tidegate_web.runs import idempotency
from tidegate_web.runs.dependencies import settled
from tidegate_web.runs.idempotency import KeyedRequest
from tidegate_web.runs.new_run import NewRun, new_run
from tidegate_web.services import Services
from tidegate_web.shared.permissions import refused_fields
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import new_runs, runs
from tidegate_web.store.records import RunRecord, run_record
from tidegate_web.store.run_rows import RunRow, as_row

FULL_RETRY_SECONDS = "5"
AT_ONCE = 8
"""Requests to the apiserver for one batch that go at the same time."""


@dataclass(frozen=True, kw_only=True)
class RequestedRun:
    """A run that was asked for and may be made."""

    run: NewRun
    once: KeyedRequest | None = None
    check: bool = True
    """Whether its task and payload are still to be looked at."""


@dataclass(frozen=True, kw_only=True)
class CreatedRun:
    """A run as the archive has it. Not ``new``: an earlier request of its idempotency key made it."""

    row: RunRow
    new: bool


@dataclass(frozen=True, kw_only=True)
class _Created:
    resource: KubeObject
    new: bool


def wanted_run(project: str, body: Mapping[str, object], *, actor: Actor, header: str | None = None) -> RequestedRun:
    """What a body asks for: 403 for a field that the actor may not send, 422 for what is no run."""
    refused = refused_fields(body, role=actor.role_in(project), tasks=actor.caller.tasks)
    if refused:
        raise Problem(
            403,
            "You may not send every field of this body.",
            errors=[{"field": field, "message": message} for field, message in refused.items()],
        )
    once = idempotency.once(project, body, header=header)
    if once is None:
        return RequestedRun(run=new_run(body))
    return RequestedRun(run=new_run({**body, "name": once.name, "idempotencyKey": once.key}), once=once)


def check_task(made: Services, project: str, run: NewRun, *, payload: bool = True) -> None:
    """422 for a task that may not run in the project and, with ``payload``, for a payload that its schema doesn't take. Where the
    Task can't be asked for, the operator checks."""
    try:
        task = made.runs.queues.task_spec(project, run.spec)
    except ClusterError:
        return
    inline = isinstance(run.spec.get("task"), dict)
    check_host_access(made, project, task, within="task" if inline else None)
    schema = task.get("payloadSchema")
    if payload and isinstance(schema, dict):
        wrong = made.runs.schemas.mismatch(schema, run.spec.get("payload", {}))
        if wrong is not None:
            raise invalid("payload", wrong)


def create(
    made: Services, project: str, wanted: RequestedRun, *, who: str, action: AuditAction | None = None
) -> CreatedRun:
    """Make one run. That it was done is written down with it, where ``action`` says what."""
    (answer,) = create_all(made, project, [wanted], who=who, action=action)
    if isinstance(answer, Problem):
        raise answer
    return answer


def create_all(
    made: Services, project: str, wanted: Sequence[RequestedRun], *, who: str, action: AuditAction | None = None
) -> list[CreatedRun | Problem]:
    """Make runs, a few at a time: what became of each. Nothing is made when a queue among theirs has no room."""
    answers: dict[int, CreatedRun | Problem] = _reserve(made, project, wanted)
    todo = [number for number in range(len(wanted)) if number not in answers]
    full = made.runs.queues.full(project, [wanted[number].run.spec for number in todo])
    if full is not None:
        _release(made, project, [wanted[number] for number in todo])
        raise Problem(
            429,
            f"Queue {full.name} is full: {full.pending} runs wait in it, and it takes {full.most} at most.",
            headers={"Retry-After": FULL_RETRY_SECONDS},
        )
    created = _each(lambda number: _create_one(made, project, wanted[number], who=who), todo)
    refused = [
        wanted[number]
        for number, answer in zip(todo, created, strict=True)
        if isinstance(answer, Problem) and answer.status != 503  # there it isn't known whether it was created
    ]
    _release(made, project, refused)
    good = {n: answer for n, answer in zip(todo, created, strict=True) if isinstance(answer, _Created)}
    kept = _keep(made, project, {n: (wanted[n], answer) for n, answer in good.items()}, who=who, action=action)
    for number, answer in zip(todo, created, strict=True):
        answers[number] = answer if isinstance(answer, Problem) else kept[number]
    return [answers[number] for number in range(len(wanted))]


def _reserve(made: Services, project: str, wanted: Sequence[RequestedRun]) -> dict[int, CreatedRun | Problem]:
    """What is answered already because its key was used before."""
    answers: dict[int, CreatedRun | Problem] = {}
    keyed = [(one.once.task, one.once.key, number) for number, one in enumerate(wanted) if one.once is not None]
    if not keyed:
        return answers
    with made.engine.begin() as connection:
        for _, _, number in sorted(keyed):  # one order of row locks for all
            one = wanted[number]
            assert one.once is not None
            try:
                row = idempotency.reserve(connection, made, project, one.once, one.run.spec)
            except Problem as problem:
                answers[number] = problem
            else:
                if row is not None:
                    answers[number] = CreatedRun(row=row, new=False)
    return answers


def _release(made: Services, project: str, wanted: Sequence[RequestedRun]) -> None:
    keyed = sorted((one.once for one in wanted if one.once is not None), key=lambda once: (once.task, once.key))
    if keyed:
        with made.engine.begin() as connection:
            for once in keyed:
                idempotency.release(connection, project, once)


def _create_one(made: Services, project: str, wanted: RequestedRun, *, who: str) -> _Created | Problem:
    try:
        if wanted.check:
            check_task(made, project, wanted.run)
        manifest = settled(made, project, wanted.run).manifest(project=project, requested_by=who)
        return _Created(resource=made.cluster.create_run(project, manifest), new=True)
    except Problem as problem:
        return problem
    except ClusterError as error:
        if wanted.once is None or error.reason != "AlreadyExists":
            return from_cluster(error, sent=field_of_run)
    try:
        found = made.cluster.get_run(project, wanted.run.name)
    except ClusterError as error:
        return from_cluster(error, sent=field_of_run)
    if found.get("spec", {}).get("idempotencyKey") != wanted.once.key:
        return Problem(409, "Another run has the name that this idempotency key stands for.")
    if not idempotency.asks_for(wanted.run.spec, found.get("spec", {})):
        return idempotency.another_body()
    return _Created(resource=found, new=False)


def _each(act: Callable[[int], _Created | Problem], numbers: Sequence[int]) -> list[_Created | Problem]:
    if len(numbers) <= 1:
        return [act(number) for number in numbers]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(numbers)), thread_name_prefix="create") as pool:
        return list(pool.map(act, numbers))


def _keep(
    made: Services,
    project: str,
    created: Mapping[int, tuple[RequestedRun, _Created]],
    *,
    who: str,
    action: AuditAction | None,
) -> dict[int, CreatedRun]:
    """Write what the apiserver has answered, so that it can be read at once. Without Postgres the mirror writes it
    later; a key without its run meets it in the cluster."""
    records = {
        number: run_record(answer.resource, default_ttl_seconds=made.settings.default_ttl_seconds)
        for number, (_, answer) in created.items()
    }
    kept = {
        number: CreatedRun(
            row=as_row(record, submitted_by=who if created[number][1].new else None),
            new=created[number][1].new,
        )
        for number, record in records.items()
    }
    made.runs.in_cluster.forget(project)
    new = [number for number in records if kept[number].new]
    met = [number for number in records if not kept[number].new]
    try:
        if new:
            # Of one run alone, what was done is written with it.
            mine = action if len(records) == 1 else None
            _write(
                made,
                [
                    _new(made, project, created[number][0], record=records[number], who=who, action=mine)
                    for number in new
                ],
            )
            if mine is not None:
                mine.written = True
        if met:
            kept |= _keep_met(made, project, {number: (created[number][0], records[number]) for number in met})
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
    return kept


def _new(
    made: Services, project: str, wanted: RequestedRun, *, record: RunRecord, who: str, action: AuditAction | None
) -> new_runs.NewRun:
    once = wanted.once
    return new_runs.NewRun(
        record=record,
        submitted_by=who,
        key=None if once is None else idempotency.used(made, project, once, run_uid=record.uid),
        audit=None if action is None else vars(action.entry()),
    )


def _write(made: Services, new: Sequence[new_runs.NewRun]) -> None:
    if len(new) == 1:
        made.runs.keep(new[0])
    else:
        new_runs.keep(made.engine, new)


def _keep_met(made: Services, project: str, met: Mapping[int, tuple[RequestedRun, RunRecord]]) -> dict[int, CreatedRun]:
    """The same for runs that were there already; their rows may be further."""
    kept: dict[int, CreatedRun] = {}
    with made.engine.begin() as connection:
        runs.upsert(connection, [record for _, record in met.values()])
        for number, (wanted, record) in met.items():
            if wanted.once is not None:
                idempotency.finish(connection, made, project, wanted.once, run_uid=record.uid)
            row = runs.find(connection, project=project, reference=record.uid)
            kept[number] = CreatedRun(row=row or as_row(record), new=False)
    return kept
