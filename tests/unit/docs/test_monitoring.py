"""Alerts, runbooks and dashboards: each alert has its runbook, and each name that is asked for is that of a metric."""

import re
from pathlib import Path

from generate_metrics import families, registries
from support.monitoring import alerts, dashboards, groups, names, panel_queries

OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations"
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}
OF_THE_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}


def published() -> set[str]:
    """The names of all series that the code can publish."""
    found = [family for registry in registries().values() for family in families(registry)]
    return {name + suffix for name, kind, _, _ in found for suffix in SUFFIXES[kind]} | OF_THE_PROCESS


def test_each_alert_has_a_runbook_that_says_what_it_means_where_to_look_and_what_to_do() -> None:
    page = (OPERATIONS / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(alerts()), "one section an alert, in the order of the rules"
    for name, text in sections.items():
        assert all(word in text for word in ("**Means.**", "**Look.**", "**Do.**")), name


def test_links_to_runbooks_lead_to_a_section() -> None:
    anchors = {name.lower() for name in alerts()}
    for page in OPERATIONS.rglob("*.md"):
        linked = set(re.findall(r"\]\((?:runbooks/alerts\.md)?#(\w+)\)", page.read_text(encoding="utf-8")))
        assert linked <= anchors, page
    overview = (OPERATIONS / "monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/alerts\.md#(\w+)\) \| (\w+) \|", overview, re.MULTILINE)
    assert rows == [(name, name.lower(), rule["labels"]["severity"]) for name, rule in alerts().items()]


def test_an_alert_has_words_for_who_is_woken() -> None:
    for name, rule in alerts().items():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}, name
        assert rule["annotations"].keys() == {"summary", "description"}, name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
    assert [group["name"] for group in groups()] == ["tidegate-operator", "tidegate-web", "tidegate-mirror"]


def test_alerts_ask_for_metrics_that_exist() -> None:
    for name, rule in alerts().items():
        assert names(rule["expr"]), name
        assert names(rule["expr"]) <= published(), name


def test_panels_ask_for_metrics_that_exist() -> None:
    for where, query in panel_queries():
        assert names(query), where
        assert names(query) <= published(), where
        assert "$" not in query, where


def test_panels_have_a_unit_and_words_and_stand_beside_each_other() -> None:
    for file, dashboard in dashboards().items():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels), file
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
            assert not cells & taken, f"{file}: {panel['title']} lies on another panel"
            assert max(x for x, _ in cells) < 24, f"{file}: {panel['title']}"
            taken |= cells
            if panel["type"] != "row":
                assert panel["description"], panel["title"]
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    assert {d["uid"] for d in dashboards().values()} == {"tidegate-runs", "tidegate-health"}


def test_every_metric_is_on_a_dashboard_or_in_an_alert_or_is_named_here() -> None:
    """What nobody looks at costs as much as what everyone does."""
    shown = set().union(*(names(query) for _, query in panel_queries()), *(names(r["expr"]) for r in alerts().values()))
    looked_up = {
        "tidegate_cluster_concurrency_limit",
        "tidegate_namespace_concurrency_limit",
        "tidegate_pool_connections_total",
        "tidegate_pool_ready_workers",
        "tidegate_queue_key_concurrency_limit",
        "tidegate_queue_rate_limit_runs_per_second",
        "tidegate_sweeps_total",
        "tidegate_watch_events_total",
    }
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in published() - OF_THE_PROCESS}
    assert bases - {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} == looked_up
