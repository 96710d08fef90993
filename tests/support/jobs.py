"""Jobs as the operator builds them, of plain dicts: tests look into them at any depth, and feed bodies that no type allows."""

from collections.abc import Mapping
from typing import Any, cast

from tidegate_api.bodies import TaskRunBody, TaskSpecBody
from tidegate_operator.manifests.job import PodDefaults, build_job


def a_job(
    run: Mapping[str, Any],
    resolved: Mapping[str, Any],
    *,
    number: int = 1,
    defaults: PodDefaults | None = None,
    after_oom: bool = False,
) -> dict[str, Any]:
    """The Job of attempt `number` of `run` under the TaskSpec `resolved`."""
    return build_job(
        cast("TaskRunBody", run),
        cast("TaskSpecBody", resolved),
        number=number,
        defaults=defaults or PodDefaults(),
        after_oom=after_oom,
    )
