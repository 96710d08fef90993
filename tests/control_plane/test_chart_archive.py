"""What the chart gives web and mirror about the archive: the same to both, in numbers that they can read."""

from typing import Any

import pytest
from support.chart import render

BYTES, DAYS, NAMES = "TIDEGATE_PROJECT_BYTES", "TIDEGATE_RETENTION_DAYS", "TIDEGATE_METRICS_BY_NAMESPACE"
EXTERNAL = (
    "--set",
    "postgres.bundled=false,postgres.external.url=postgresql://t@db/t,postgres.external.existingSecret=db",
)


def environment(*options: str) -> dict[str, dict[str, Any]]:
    """The literal variables of each of the web app's Deployments."""
    found = {}
    for made in render(*options, kinds=frozenset({"Deployment"})):
        (container,) = made["spec"]["template"]["spec"]["containers"]
        found[container["name"]] = {each["name"]: each.get("value") for each in container["env"]}
    return found


@pytest.mark.parametrize(
    ("options", "most", "days"),
    [
        ((), "4294967296", "90"),
        (EXTERNAL, "21474836480", "90"),
        (("--set", "archive.projectBytes=0,archive.retentionDays=0"), "0", "0"),
        (("--set", "archive.projectBytes=1099511627776,archive.retentionDays=365"), "1099511627776", "365"),
    ],
)
def test_web_and_mirror_hold_to_the_same(options: tuple[str, ...], most: str, days: str) -> None:
    found = environment(*options)
    for part in ("web", "mirror"):
        assert (found[part][BYTES], found[part][DAYS]) == (most, days), part
    assert BYTES not in found["live"]


def test_what_the_operators_metrics_leave_out_those_of_the_mirror_do() -> None:
    assert NAMES not in environment()["mirror"]
    assert environment("--set", f"operator.env.{NAMES}=false")["mirror"][NAMES] == "false"
    own = environment("--set", f"operator.env.{NAMES}=false", "--set", f"mirror.env.{NAMES}=true")
    assert own["mirror"][NAMES] == "true"
