"""What metrics name."""

import pytest
from prometheus_client import generate_latest
from tidegate_operator.metrics import Metrics, QueueCount

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
