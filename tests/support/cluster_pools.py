"""WorkerPools of a real cluster."""

from typing import Any

from support.cluster import SECONDS, ClusterRuns
from support.servers import wait_until

Json = dict[str, Any]
POOL = "workerpools.tidegate.dev"


def pool_status(runs: ClusterRuns, pool: str) -> Json:
    """What a pool says of itself."""
    return dict(runs.get(pool, kind=POOL).get("status") or {})


def has_slots(runs: ClusterRuns, pool: str, count: int) -> None:
    """Wait until a pool has so many slots."""
    wait_until(lambda: pool_status(runs, pool).get("slots") == count, seconds=SECONDS, what=f"{count} slots of {pool}")


def workers(runs: ClusterRuns, pool: str) -> list[Json]:
    """The live pods of a pool."""
    found = runs.listed("pods", f"tidegate.dev/pool={pool}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
