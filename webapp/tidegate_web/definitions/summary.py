"""What a project has beside runs, in short: the queues with most waiting, the schedules that are due next, the pools."""

from dataclasses import dataclass, field

from tidegate_web.cluster.definitions import KINDS
from tidegate_web.definitions import actions
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem

MOST_DEFINITIONS = 200
"""Of each kind: what has most waiting, or comes first, is chosen among these."""
SHOWN = 6


@dataclass(kw_only=True)
class Summary:
    """What the cluster has of a project beside runs; ``problem`` where it doesn't answer."""

    queues: list[JsonObject] = field(default_factory=list)
    schedules: list[JsonObject] = field(default_factory=list)
    pools: list[JsonObject] = field(default_factory=list)
    problem: str = ""


def summary_of(made: Services, project: str) -> Summary:
    """The queues with most waiting, the schedules that are due next, the pools."""
    found = Summary()

    def read(kind: str) -> list[JsonObject]:
        listed = actions.listed(made, KINDS[kind], project, limit=MOST_DEFINITIONS, after=None)["items"]
        return [
            {"name": item["metadata"]["name"], "spec": item.get("spec") or {}, "status": item.get("status") or {}}
            for item in listed
        ]

    try:
        found.queues = sorted(read("queues"), key=_waiting)[:SHOWN]
        found.schedules = sorted(filter(_next_run, read("schedules")), key=_next_run)[:SHOWN]
        found.pools = sorted(read("pools"), key=_waiting)[:SHOWN]
    except Problem as problem:
        found.problem = problem.detail
    return found


def _waiting(item: JsonObject) -> tuple[int, str]:
    status = item["status"]
    # A queue's runs are pending, a pool's wait.
    waiting = status.get("pending", status.get("waiting")) if isinstance(status, dict) else None
    return -(waiting if isinstance(waiting, int) else 0), str(item["name"])


def _next_run(item: JsonObject) -> str:
    status, spec = item["status"], item["spec"]
    if isinstance(spec, dict) and spec.get("suspend"):
        return ""
    return str(status.get("nextScheduleTime") or "") if isinstance(status, dict) else ""
