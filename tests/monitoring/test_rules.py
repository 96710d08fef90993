"""The alerts by promtool: when each fires, and when it doesn't."""

import copy
import subprocess
from collections import defaultdict
from pathlib import Path

import yaml
from support.chart import render
from support.monitoring import Json, alerts, groups
from support.prometheus import program

CASES = Path(__file__).with_name("rules_test.yaml")


def promtool(*arguments: str | Path, folder: Path) -> str:
    done = subprocess.run([program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_annotations(found: list[Json]) -> list[Json]:
    """promtool compares annotations too: their words would stand in each case once more."""
    found = copy.deepcopy(found)
    for group in found:
        for rule in group["rules"]:
            del rule["annotations"]
    return found


def test_the_rules_are_sound(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups()}))
    assert f"{len(alerts())} rules found" in promtool("check", "rules", "--lint-fatal", "rules.yaml", folder=tmp_path)


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": without_annotations(groups())}))
    (tmp_path / "rules_test.yaml").write_text(CASES.read_text(encoding="utf-8"))
    promtool("test", "rules", "rules_test.yaml", folder=tmp_path)


def test_the_alert_of_one_release_is_not_that_of_another_in_the_same_prometheus(tmp_path: Path) -> None:
    names = []
    for team in ("a", "b"):
        options = ("--namespace", team, "--set", "monitoring.rules.enabled=true,monitoring.podMonitors.enabled=true")
        kinds = frozenset({"PrometheusRule"})
        (made,) = render(*options, "--api-versions", "monitoring.coreos.com/v1", kinds=kinds)
        names.append(made["spec"]["groups"][0]["rules"][0]["labels"]["release"])
        found = without_annotations(made["spec"]["groups"])
        renamed = [{**group, "name": f"{group['name']}-{team}"} for group in found]
        (tmp_path / f"{team}.yaml").write_text(yaml.safe_dump({"groups": renamed}))
    quiet, without_leader = names
    series = {
        f'tidegate_leader{{release="{quiet}"}}': "1x20",
        f'tidegate_leader{{release="{without_leader}"}}': "0x20",
        f'tidegate_postgres_up{{release="{quiet}"}}': "0x20",
        f'tidegate_postgres_up{{release="{without_leader}"}}': "1x20",
    }
    expected = {"TidegateOperatorHasNoLeader": without_leader, "TidegatePostgresIsUnreachable": quiet}
    case = {
        "rule_files": ["a.yaml", "b.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": "10m",
                        "alertname": name,
                        "exp_alerts": [{"exp_labels": {"severity": "critical", "release": release}}],
                    }
                    for name, release in expected.items()
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case))
    promtool("test", "rules", "case.yaml", folder=tmp_path)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_not() -> None:
    cases: dict[str, set[bool]] = defaultdict(set)
    for test in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for case in test["alert_rule_test"]:
            cases[case["alertname"]].add(bool(case.get("exp_alerts")))
    assert {name: cases[name] for name in alerts()} == {name: {True, False} for name in alerts()}
