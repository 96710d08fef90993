"""Tasks and Queues by namespace and name. A record is never replaced by an older one."""

from collections.abc import Iterable

from tidegate_api.bodies import QueueBody, TaskBody
from tidegate_api.objects import ObjectMeta

from tidegate_operator.records.definitions import QueueRecord, TaskRecord

Name = tuple[str, str]


class DefinitionIndex:
    """What runs refer to."""

    def __init__(self) -> None:
        self.tasks: dict[Name, TaskRecord] = {}
        self.queues: dict[Name, QueueRecord] = {}

    def put_task(self, body: TaskBody) -> TaskRecord | None:
        """A Task was seen; None where that is no news."""
        meta = body["metadata"]
        key, version = name_of(meta), int(meta["resourceVersion"])
        if (known := self.tasks.get(key)) is not None and known.version >= version:
            return None
        made = TaskRecord(uid=meta["uid"], namespace=key[0], name=key[1], version=version, spec=body["spec"])
        self.tasks[key] = made
        return made

    def put_queue(self, body: QueueBody, *, again: bool) -> QueueRecord | None:
        """A Queue was seen; None where that is no news. `again`: also the version that is known."""
        meta = body["metadata"]
        key, version = name_of(meta), int(meta["resourceVersion"])
        if (known := self.queues.get(key)) is not None and known.version >= version and not again:
            return None
        made = QueueRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=version,
            generation=meta.get("generation", 1),
            spec=body["spec"],
            status=body.get("status") or {},
        )
        self.queues[key] = made
        return made

    def drop_task(self, key: Name, *, uid: str) -> bool:
        """A Task is gone. Says whether it was known."""
        known = self.tasks.get(key)
        if known is None or known.uid != uid:
            return False
        del self.tasks[key]
        return True

    def drop_queue(self, key: Name, *, uid: str) -> bool:
        """A Queue is gone. Says whether it was known."""
        known = self.queues.get(key)
        if known is None or known.uid != uid:
            return False
        del self.queues[key]
        return True

    def records(self, kind: str) -> Iterable[TaskRecord | QueueRecord]:
        """All of one kind."""
        return list(self.tasks.values()) if kind == "tasks" else list(self.queues.values())


def name_of(meta: ObjectMeta) -> Name:
    """Namespace and name."""
    return meta["namespace"], meta["name"]
