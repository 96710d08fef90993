"""From when a finished run's TTL counts. The operator and the mirror both delete by it."""

from collections.abc import Mapping


def kept_since(status: Mapping[str, object]) -> str | None:
    """The moment at which ``ttlSecondsAfterFinished`` of a finished run begins, as its status says it; None where it doesn't.

    As of Jobs (KEP-592) it is when the condition Finished became true: a time by the clock of the operator. ``finishedAt`` is by
    that of the node, and a node that is an hour slow would have its runs deleted as soon as they end.
    """
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, Mapping) and (condition.get("type"), condition.get("status")) == ("Finished", "True"):
            since = condition.get("lastTransitionTime")
            if isinstance(since, str) and since:
                return since
    finished = status.get("finishedAt")
    return finished if isinstance(finished, str) and finished else None
