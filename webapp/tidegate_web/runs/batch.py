"""Many runs in one call: all are looked at before the first is created, then each gets an answer of its own."""

import time
from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError
from tidegate_api.taskrun import TaskRunSpec

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.create import CreatedRun, RequestedRun, check_task, create_all, wanted_run
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import FieldError, Problem, invalid

MOST_RUNS = 1000
CHECK_SECONDS = 5.0
"""How long the payloads of one batch are held against schemas. The operator checks those that are left, by the same rule: the
checks of a process go one after the other, and others wait for them."""


def wanted_runs(made: Services, actor: Actor, project: str, body: Mapping[str, object]) -> list[RequestedRun]:
    """The runs of ``{"runs": […]}``; a Problem names the place of the first that can't be made."""
    items = body.get("runs")
    if set(body) != {"runs"} or not isinstance(items, list) or not 1 <= len(items) <= MOST_RUNS:
        raise invalid("runs", f"must be a list of 1 to {MOST_RUNS}, and all that is sent")
    wanted, names = [], set[str]()
    until = time.monotonic() + CHECK_SECONDS
    for number, item in enumerate(items):
        try:
            if not isinstance(item, dict):
                raise invalid("", "must be a JSON object")
            one = wanted_run(project, item, actor=actor)
            check_spec(one.run.spec)
            if one.once is None:  # what a key has made already is answered, whatever its task asks for by now
                check_task(made, project, one.run, payload=time.monotonic() < until)
                one = replace(one, check=False)
            if one.once is None and one.run.name in names:
                raise invalid("name", "is another run's of this batch")
        except Problem as problem:
            raise _at(number, problem) from None
        names.add(one.run.name)
        wanted.append(one)
    return wanted


def check_spec(spec: Mapping[str, object]) -> None:
    """422 for what the apiserver would refuse by its schema."""
    try:
        TaskRunSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise invalid(".".join(str(part) for part in first["loc"]), first["msg"]) from None
    if ("task" in spec) == ("taskRef" in spec):
        raise invalid("", "must have exactly one of taskRef and task")


def _at(number: int, problem: Problem) -> Problem:
    place = f"runs.{number}"
    errors: list[FieldError] = [
        {"field": f"{place}.{error['field']}" if error["field"] else place, "message": error["message"]}
        for error in problem.errors
    ] or [{"field": place, "message": problem.detail}]
    return Problem(problem.status, f"{place}: {problem.detail}", errors=errors)


def create_batch(made: Services, actor: Actor, project: str, body: Mapping[str, object]) -> list[CreatedRun | Problem]:
    """Create the runs that a body asks for: what became of each."""
    require_project(made, project, to_write=True)
    wanted = wanted_runs(made, actor, project, body)
    detail: JsonObject = {"count": len(wanted)}
    with audited(made, actor, "run.create-batch", project=project, detail=detail):
        answers = create_all(made, project, wanted, who=actor.name)
        detail["made"] = [one.row.name for one in answers if isinstance(one, CreatedRun) and one.new]
    return answers
