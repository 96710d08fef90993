"""What metrics name."""

import pytest
from prometheus_client import generate_latest
from tidegate_operator.metrics import Metrics, PoolCount, QueueCount

POOLS = [PoolCount(("acme", "warm"), 3, 4, 1), PoolCount(("rival", "merger"), 4, 8, 2)]
QUEUES = [QueueCount(("acme", "mail"), 3, 1), QueueCount(("rival", "merger"), 4, 2)]


@pytest.mark.parametrize("by_namespace", [True, False])
def test_queues_are_counted_by_name_or_in_sum(by_namespace: bool) -> None:
    metrics = Metrics()
    metrics.count_queues(QUEUES, by_namespace=by_namespace)
    reported = generate_latest(metrics.registry).decode()
    assert ("merger" in reported, "acme" in reported) == (by_namespace, by_namespace)
    key = {"namespace": "acme", "queue": "mail"} if by_namespace else {"namespace": "", "queue": ""}
    assert metrics.registry.get_sample_value("tidegate_queue_pending", key) == (3 if by_namespace else 7)
    assert metrics.registry.get_sample_value("tidegate_queue_running", key) == (1 if by_namespace else 3)


@pytest.mark.parametrize("by_namespace", [True, False])
def test_pools_are_counted_by_name_or_in_sum(by_namespace: bool) -> None:
    metrics = Metrics()
    metrics.count_pools(POOLS, by_namespace=by_namespace)
    reported = generate_latest(metrics.registry).decode()
    assert ("merger" in reported, "acme" in reported) == (by_namespace, by_namespace)
    key = {"namespace": "acme", "pool": "warm"} if by_namespace else {"namespace": "", "pool": ""}
    numbers = [metrics.registry.get_sample_value(f"tidegate_pool_{what}", key) for what in ("waiting", "slots", "busy")]
    assert numbers == ([3, 4, 1] if by_namespace else [7, 12, 3])
