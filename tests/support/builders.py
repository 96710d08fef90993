"""Builders of resources for tests: `a_run("hello").command("true").built`."""

from typing import Any, Self

from tidegate_api.names import API_VERSION

Json = dict[str, Any]
BUSYBOX = "docker.io/library/busybox:1.37"
EXAMPLES = "docker.io/tidegate/examples:0.1.0"


class RunBuilder:
    """A TaskRun, piece by piece. Without more it runs `true` in an inline task."""

    def __init__(self, name: str) -> None:
        self._meta: Json = {"name": name, "namespace": "default"}
        self._spec: Json = {}
        self._task: Json | None = {"image": "busybox", "command": ["true"]}

    def shell(self, script: str) -> Self:
        """A shell script as the inline task, for real pods."""
        return self.task(image=BUSYBOX, command=["sh", "-c", script])

    def python(self, entrypoint: str) -> Self:
        """A function of the examples' image as the inline task."""
        self._task = {"image": EXAMPLES, "entrypoint": entrypoint}
        return self

    def namespace(self, name: str) -> Self:
        """Another namespace than `default`."""
        self._meta["namespace"] = name
        return self

    def task(self, **fields: Any) -> Self:
        """Fields of the inline task."""
        self._task = {**(self._task or {}), **fields}
        return self

    def task_ref(self, name: str) -> Self:
        """Refer to a Task instead."""
        self._task = None
        self._spec["taskRef"] = {"name": name}
        return self

    def spec(self, **fields: Any) -> Self:
        """Fields of the run's own spec."""
        self._spec |= fields
        return self

    def retry(self, **fields: Any) -> Self:
        """The run's word on retries."""
        self._spec["retry"] = {**self._spec.get("retry", {}), **fields}
        return self

    def warm(self, entrypoint: str, *, pool: str = "warm") -> Self:
        """A function in a WorkerPool as the inline task."""
        self._task = {"pool": pool, "entrypoint": entrypoint}
        return self

    def payload(self, **fields: Any) -> Self:
        """The payload."""
        self._spec["payload"] = fields
        return self

    def labels(self, labels: dict[str, str]) -> Self:
        """Labels, which the pod gets too."""
        self._meta["labels"] = labels
        return self

    def pod(self, **steering: str) -> Self:
        """How the control plane's fake node treats the pod: hold, exit_code, reason, duration, waiting."""
        return self.labels({f"fake.tidegate.dev/{k.replace('_', '-')}": v for k, v in steering.items()})

    @property
    def built(self) -> Json:
        """The manifest."""
        spec = {**({"task": self._task} if self._task is not None else {}), **self._spec}
        return {"apiVersion": API_VERSION, "kind": "TaskRun", "metadata": self._meta, "spec": spec}


def a_pool(name: str = "warm", **spec: Any) -> Json:
    """A WorkerPool."""
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkerPool",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "runner", **spec},
    }


def a_run(name: str) -> RunBuilder:
    """A TaskRun to be described further."""
    return RunBuilder(name)


def a_task(name: str, **spec: Any) -> Json:
    """A Task that runs `true` by default."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "busybox", "command": ["true"], **spec},
    }


def a_queue(name: str, **spec: Any) -> Json:
    """A Queue."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Queue",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def a_schedule(name: str, *, run: RunBuilder | None = None, **spec: Any) -> Json:
    """A Schedule that runs `true` each minute by default. `run` is its template."""
    template = (run or a_run(name)).built
    labels = template["metadata"].get("labels")
    wanted = {**({"metadata": {"labels": labels}} if labels else {}), "spec": template["spec"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "Schedule",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"cron": "* * * * *", "template": wanted, **spec},
    }
