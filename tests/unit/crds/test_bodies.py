"""The names of fields that readers go by are those of the models that make the CRDs."""

from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel
from tidegate_api import bodies, objects, pool, queue, schedule, task, taskrun
from tidegate_api.base import Condition, EnvVar

PAIRS: list[tuple[Any, type[BaseModel]]] = [
    (bodies.EnvVarBody, EnvVar),
    (bodies.OutOfMemoryBody, task.OutOfMemory),
    (bodies.RetryBody, task.Retry),
    (bodies.RetryBody, task.RetryOverride),
    (bodies.TaskSpecBody, task.TaskSpec),
    (bodies.TaskRefBody, taskrun.TaskRef),
    (bodies.DependencyBody, taskrun.Dependency),
    (bodies.TaskRunSpecBody, taskrun.TaskRunSpec),
    (bodies.UsageBody, taskrun.AttemptUsage),
    (bodies.AttemptBody, taskrun.Attempt),
    (bodies.ResultRefBody, taskrun.ResultRef),
    (bodies.TaskRunStatusBody, taskrun.TaskRunStatus),
    (bodies.RateLimitBody, queue.RateLimit),
    (bodies.QueueSpecBody, queue.QueueSpec),
    (bodies.RateBucketBody, queue.RateBucket),
    (bodies.QueueStatusBody, queue.QueueStatus),
    (bodies.TemplateMetadataBody, schedule.TemplateMetadata),
    (bodies.RunTemplateBody, schedule.RunTemplate),
    (bodies.ScheduleSpecBody, schedule.ScheduleSpec),
    (bodies.ActiveRunBody, schedule.ActiveRun),
    (bodies.ScheduleStatusBody, schedule.ScheduleStatus),
    (bodies.WorkerPoolSpecBody, pool.WorkerPoolSpec),
    (bodies.WorkerPoolStatusBody, pool.WorkerPoolStatus),
    (objects.Condition, Condition),
]


@pytest.mark.parametrize(("body", "model"), PAIRS, ids=lambda kind: kind.__name__)
def test_a_body_has_the_fields_of_its_model(body: Any, model: type[BaseModel]) -> None:
    assert set(get_type_hints(body)) == {field.alias for field in model.model_fields.values()}


def test_every_body_of_a_part_is_compared() -> None:
    whole = {"TaskRunBody", "TaskBody", "QueueBody", "ScheduleBody", "WorkerPoolBody"}
    names = {n for n in vars(bodies) if n.endswith("Body") and n != "ResourcesBody"} - whole
    assert names == {body.__name__ for body, _ in PAIRS if body.__module__ == bodies.__name__}
