"""Keys of the workqueue: which object has to be looked at."""

Key = tuple[str, str]
"""Kind (a plural) and what distinguishes one object of the kind from others: a run's uid, else `namespace/name`."""


def run_key(uid: str) -> Key:
    """A TaskRun, also one that is gone while something of it may still run."""
    return ("taskruns", uid)


def schedule_key(namespace: str, name: str) -> Key:
    """A Schedule."""
    return ("schedules", f"{namespace}/{name}")


def queue_key(namespace: str, name: str) -> Key:
    """A Queue."""
    return ("queues", f"{namespace}/{name}")


def pool_key(namespace: str, name: str) -> Key:
    """A WorkerPool."""
    return ("workerpools", f"{namespace}/{name}")


def names_of(ident: str) -> tuple[str, str]:
    """Namespace and name of a key that isn't a run's."""
    namespace, _, name = ident.partition("/")
    return namespace, name
