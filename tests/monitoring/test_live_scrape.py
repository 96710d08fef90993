"""What alerts and dashboards ask for is what a real Prometheus has of real parts."""

import pytest
from support.monitoring import alerts, names, panel_queries
from support.servers import wait_until

from .conftest import Installation

PANELS = list(panel_queries())


def test_each_name_of_an_alert_or_a_panel_is_scraped(installation: Installation) -> None:
    asked = set().union(*(names(query) for _, query in PANELS), *(names(rule["expr"]) for rule in alerts().values()))
    wait_until(lambda: asked <= installation.prometheus.names(), what="all names", seconds=30)


@pytest.mark.parametrize(("where", "query"), PANELS, ids=[where for where, _ in PANELS])
def test_each_panel_is_a_query_that_prometheus_takes(installation: Installation, where: str, query: str) -> None:
    installation.prometheus.query(query)


def test_all_panels_but_one_show_something_of_an_installation_at_work(installation: Installation) -> None:
    empty: set[str] = set()

    def shown() -> bool:
        empty.clear()
        empty.update(where for where, _ in PANELS)
        empty.difference_update(where for where, query in PANELS if installation.prometheus.query(query))
        return empty <= {"runs-and-queues.json: Paused queues"}  # none is paused here

    wait_until(shown, what="all panels", seconds=30)


def test_no_alert_fires_while_all_is_well(installation: Installation) -> None:
    wait_until(
        lambda: {each for each in alerts() if installation.prometheus.firing(each)} == set(),
        what="no alert",
        seconds=30,
    )


def test_labels_are_those_of_queues_and_not_of_the_pod(installation: Installation) -> None:
    (found,) = installation.prometheus.query('tidegate_queue_concurrency_limit{queue="mail"}')
    assert (found["metric"]["namespace"], found["metric"]["pod"]) == ("team", "operator")
