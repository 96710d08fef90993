"""The chart's alerts and dashboards, and the names that they ask for."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from support.chart import CHART

Json = dict[str, Any]
FILES = CHART / "files" / "monitoring"
NAME = re.compile(r"\b(?:tidegate|process)_[a-z_]+")
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$release": ".*",
    "$namespace": ".*",
    "$queue": ".*",
    "$job": ".*",
}


def groups() -> list[Json]:
    """The groups of rules, as the file has them."""
    found: list[Json] = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return found


def alerts() -> dict[str, Json]:
    """The rules by name."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"]}


def dashboards() -> dict[str, Json]:
    """The dashboards by the names of their files."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FILES.glob("dashboards/*.json"))}


def panel_queries() -> Iterator[tuple[str, str]]:
    """The queries of all panels, each with where it stands; variables are replaced by what they may be."""
    for file, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield f"{file}: {panel['title']}", with_values(target["expr"])


def with_values(query: str) -> str:
    """A query of a panel as Grafana sends it."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    return set(NAME.findall(expression))


def evaluated_at_once(changes: Mapping[str, tuple[str, str]]) -> list[Json]:
    """The groups with alerts that don't wait. ``changes``: by alert, a part of its expression and what is put in its place."""
    made = groups()
    for group in made:
        for rule in group["rules"]:
            rule["for"] = "0s"
            if (change := changes.get(rule["alert"])) is not None:
                assert rule["expr"].count(change[0]) == 1, f"{rule['alert']} has not exactly one {change[0]!r}"
                rule["expr"] = rule["expr"].replace(*change)
    return made
