"""Many runs in one call: all are looked at before the first is made, then each gets an answer of its own."""

import time
from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, Response, jsonify
from pydantic import ValidationError
from tidegate_api.taskrun import TaskRunSpec

from tidegate_web.api import bodies, responses
from tidegate_web.api.response_types import Items, RunOfBatch
from tidegate_web.api.run_bodies import MOST_RUNS, BatchRequest
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.create import CreatedRun, RequestedRun, check_task, create_all, wanted_run
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import FieldError, Problem, invalid

CHECK_SECONDS = 5.0
"""How long the payloads of one batch are held against schemas. The operator checks those that are left, by the same rule: the
checks of a process go one after the other, and others wait for them."""


def wanted_runs(made: Services, project: str, body: Mapping[str, object]) -> list[RequestedRun]:
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
            one = wanted_run(project, item, actor=actor())
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


def create_batch(made: Services, project: str) -> list[CreatedRun | Problem]:
    """Make the runs that the request asks for."""
    require_project(made, project, to_write=True)
    wanted = wanted_runs(made, project, bodies.json_object(limit=bodies.MAX_BATCH_BYTES))
    detail: JsonObject = {"count": len(wanted)}
    with audited(made, actor(), "run.create-batch", project=project, detail=detail):
        answers = create_all(made, project, wanted, who=actor().name)
        detail["made"] = [one.row.name for one in answers if isinstance(one, CreatedRun) and one.new]
    return answers


def answer_json(answer: CreatedRun | Problem) -> RunOfBatch:
    """What became of one run: the run as in a list, or why there is none."""
    if isinstance(answer, Problem):
        return {"status": answer.status, "problem": answer.as_json()}
    return {"status": 201 if answer.new else 200, "run": responses.summary(answer.row)}


def add_routes(area: Blueprint) -> None:
    """The route of batches."""

    @area.post("/projects/<project>/runs:batch")
    @requires(Permission.OPERATOR)
    @describes(
        "Create many runs, each with an answer of its own",
        name="create_runs",
        body=BatchRequest,
        answer=Items[RunOfBatch],
        problems=(502,),
    )
    def batch(project: str) -> Response:
        answers: Items[RunOfBatch] = {"items": [answer_json(answer) for answer in create_batch(services(), project)]}
        return jsonify(answers)
