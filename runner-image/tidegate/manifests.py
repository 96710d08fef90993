"""Task resources from task functions: what the decorator says, and a schema of the arguments.

from tidegate.manifests import export
for resource in export("shop", image="registry.example.com/team/shop:1"): ...
"""

from __future__ import annotations

from typing import Any, Optional

from tidegate.errors import ConfigurationError, PayloadError
from tidegate.loading import load_module
from tidegate.schema import payload_schema
from tidegate.task import AnyTask, Retry, Task

API_VERSION = "tidegate.dev/v1alpha1"
_RETRY = {
    "max_attempts": "maxAttempts",
    "initial_delay": "initialDelaySeconds",
    "max_delay": "maxDelaySeconds",
    "factor": "factor",
    "jitter": "jitter",
}


def manifest(task: AnyTask, *, image: Optional[str] = None, entrypoint: Optional[str] = None) -> dict[str, Any]:
    """The Task resource of a task.

    ``image`` is needed but for a task with a pool, which has the pool's. ``entrypoint`` is where the function is in the image,
    by default where it is here. Raises ConfigurationError where that can't be said, an annotation is nothing that a payload can
    fill, or a task with a pool has what is the pool's.
    """
    _check_place(task, image)
    try:
        schema = payload_schema(task.function)
    except (PayloadError, TypeError) as error:
        raise ConfigurationError(f"task {task.name}: {error}") from None
    spec: dict[str, object] = {
        "description": _description(task),
        "image": image,
        "pool": task.pool,
        "entrypoint": entrypoint or _entrypoint(task),
        "payloadSchema": schema,
        "queue": task.queue,
        "retry": _retry(task.retry),
        "timeoutSeconds": task.timeout,
        "resources": dict(task.resources) if task.resources else None,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": {"name": task.name},
        "spec": {field: value for field, value in spec.items() if value is not None},
    }


def export(module: str, *, image: Optional[str] = None) -> list[dict[str, Any]]:
    """The Task resources of all tasks that a module defines, by name. Raises EntrypointError when it can't be imported.

    ``image`` is for those without a pool.
    """
    found = load_module(module)
    tasks = {
        value.name: manifest(value, image=None if value.pool else image, entrypoint=f"{module}:{variable}")
        for variable, value in vars(found).items()
        if isinstance(value, Task) and value.function.__module__ == found.__name__
    }
    return [tasks[name] for name in sorted(tasks)]


def _check_place(task: AnyTask, image: Optional[str]) -> None:
    """Where a task runs is said once: by an image, or by a pool with all that belongs to the pool's own pods."""
    if task.pool is None:
        if not image:
            raise ConfigurationError(f"task {task.name} has neither an image nor a pool")
        return
    if not task.pool:
        raise ConfigurationError(f"task {task.name} has a pool without a name")
    refused = {
        "image": image,
        "resources": task.resources,
        "retry.out_of_memory": task.retry and task.retry.out_of_memory,
    }
    given = [name for name, value in refused.items() if value]
    if given:
        raise ConfigurationError(
            f"task {task.name} has the pool {task.pool} and {' and '.join(given)}: that is said in the WorkerPool"
        )


def _description(task: AnyTask) -> Optional[str]:
    paragraph = (task.function.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split()) or None


def _entrypoint(task: AnyTask) -> str:
    module, name = task.function.__module__, task.function.__qualname__
    if module == "__main__" or "<locals>" in name:
        raise ConfigurationError(f"task {task.name} can't be imported from {module}: give its entrypoint")
    return f"{module}:{name}"


def _retry(retry: Optional[Retry]) -> Optional[dict[str, object]]:
    if retry is None:
        return None
    spec: dict[str, object] = {name: getattr(retry, field) for field, name in _RETRY.items()}
    if retry.non_retryable_exit_codes is not None:
        spec["nonRetryableExitCodes"] = list(retry.non_retryable_exit_codes)
    if retry.out_of_memory is not None:
        spec["outOfMemory"] = {"resources": dict(retry.out_of_memory)}
    return {field: value for field, value in spec.items() if value is not None}
