"""What the chart makes for Prometheus and Grafana, when it is asked to."""

import json
import re

import pytest
from support.chart import RELEASE, Json, render
from support.monitoring import alerts, dashboards
from tidegate_cluster.errors import ClusterError

CRDS = ("--api-versions", "monitoring.coreos.com/v1")
METRIC = re.compile(r"\b(?:tidegate|process)_[a-z_]+")
KINDS = frozenset({"PodMonitor", "PrometheusRule"})


def rules(*options: str) -> dict[str, Json]:
    """The alerts of the rendered PrometheusRule, by name."""
    (made,) = render("--set", "monitoring.rules.enabled=true", *CRDS, *options, kinds=frozenset({"PrometheusRule"}))
    return {rule["alert"]: rule for group in made["spec"]["groups"] for rule in group["rules"]}


def test_nothing_of_it_is_there_by_default() -> None:
    documents = render(*CRDS)
    assert not [d for d in documents if d["kind"] in KINDS or "dashboard" in d["metadata"]["name"]]


@pytest.mark.parametrize("part", ["podMonitors", "rules"])
def test_without_the_crds_it_fails_and_says_what_to_do(part: str) -> None:
    with pytest.raises(ClusterError) as refused:
        render("--set", f"monitoring.{part}.enabled=true")
    assert f"monitoring.{part}.enabled is true and the cluster doesn't serve monitoring.coreos.com/v1" in str(
        refused.value
    )
    assert "--api-versions monitoring.coreos.com/v1" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), ["operator", "web", "mirror", "live"]),
        (("live.separate=false",), ["operator", "web", "mirror"]),
        (("web.enabled=false",), ["operator"]),
    ],
)
def test_each_process_has_a_pod_monitor_that_finds_its_pods(options: tuple[str, ...], parts: list[str]) -> None:
    wanted = "monitoring.podMonitors.enabled=true,monitoring.podMonitors.labels.release=stack"
    documents = render("--set", ",".join([wanted, *options]), *CRDS)
    monitors = {d["metadata"]["name"]: d for d in documents if d["kind"] == "PodMonitor"}
    pods = {d["metadata"]["name"]: d["spec"]["template"] for d in documents if d["kind"] == "Deployment"}
    assert sorted(monitors) == sorted(f"{RELEASE}-{part}" for part in parts)
    for name, monitor in monitors.items():
        assert monitor["metadata"]["labels"]["release"] == "stack"
        selector = monitor["spec"]["selector"]["matchLabels"]
        assert [n for n, pod in pods.items() if selector.items() <= pod["metadata"]["labels"].items()] == [name]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        ports = [port["name"] for container in pods[name]["spec"]["containers"] for port in container["ports"]]
        assert endpoint["port"] in ports
        assert (endpoint["honorLabels"], endpoint["interval"]) == (True, "30s")


def test_each_alert_leads_to_its_runbook() -> None:
    base = "https://docs.example.com/alerts.html"
    found = rules("--set", f"monitoring.runbookBaseUrl={base},monitoring.rules.alertLabels.team=platform")
    assert found.keys() == alerts().keys()
    for name, rule in found.items():
        written = alerts()[name]
        assert rule["annotations"] == {**written["annotations"], "runbook_url": f"{base}#{name.lower()}"}
        assert rule["labels"] == {**written["labels"], "team": "platform"}
        assert (rule["expr"], rule["for"]) == (written["expr"], written["for"])


def test_alerts_are_left_out_by_name_and_with_the_web_app() -> None:
    left_out = "monitoring.rules.disabled={TidegateRunsFail,TidegateLogsAreLost}"
    assert alerts().keys() - rules("--set", left_out).keys() == {"TidegateRunsFail", "TidegateLogsAreLost"}
    without_web = rules("--set", "web.enabled=false")
    assert {"TidegateOperatorHasNoLeader", "TidegateRunsFail"} <= without_web.keys()
    assert not [name for name in without_web if "Mirror" in name or "Postgres" in name]
    with pytest.raises(ClusterError, match="there is no alert TidegateRunFails"):
        rules("--set", "monitoring.rules.disabled={TidegateRunFails}")


def test_with_pod_monitors_each_metric_of_an_alert_is_that_of_the_release() -> None:
    enabled = ("--set", "monitoring.podMonitors.enabled=true")
    monitors = render(*enabled, *CRDS, kinds=frozenset({"PodMonitor"}))
    labelled = [each["spec"]["podMetricsEndpoints"][0]["relabelings"] for each in monitors]
    release = labelled[0][0]["replacement"]
    assert labelled == [[{"targetLabel": "release", "replacement": release}]] * len(monitors)
    for name, rule in rules(*enabled).items():
        assert rule["labels"]["release"] == release
        written, selector = alerts()[name]["expr"], f'{{release="{release}"'
        assert rule["expr"].count(selector) == len(METRIC.findall(written)) > 0
        assert rule["expr"].replace(f"{selector}}}", "").replace(f"{selector}, ", "{") == written
    assert rules(*enabled, "--set", "monitoring.rules.alertLabels.release=mine")["TidegateRunsFail"]["labels"] == {
        "severity": "warning",
        "release": "mine",
    }


def test_each_metric_of_a_panel_is_that_of_the_chosen_releases() -> None:
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                assert expression.count('{release=~"$release"') == len(METRIC.findall(expression)), expression


def test_dashboards_are_config_maps_that_grafana_finds() -> None:
    documents = render("--set", "monitoring.dashboards.enabled=true,monitoring.dashboards.annotations.grafana_folder=T")
    maps = [d for d in documents if d["kind"] == "ConfigMap" and "dashboard" in d["metadata"]["name"]]
    found = {file: json.loads(text) for each in maps for file, text in each["data"].items()}
    assert found == dashboards()
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "T"}
