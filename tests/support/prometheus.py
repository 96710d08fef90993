"""A real Prometheus, and promtool: Debian's, unpacked in the cache unless they are on PATH."""

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tidegate_cluster import settings
from tidegate_cluster.debian_packages import unpacked

from support.servers import Server

Json = dict[str, Any]
SCRAPE = "300ms"


def program(name: str) -> Path:
    """`prometheus` or `promtool`."""
    if found := shutil.which(name):
        return Path(found)
    folder = unpacked(["prometheus"], folder="prometheus", what="Prometheus", settings=settings.from_environment())
    return folder / "usr" / "bin" / name


class Prometheus(Server):
    """Scrapes what a test names, three times a second, and evaluates rules as often."""

    name = "prometheus"

    def __init__(self, groups: Sequence[Json] = ()) -> None:
        super().__init__()
        self._groups = groups

    def prepare(self) -> None:
        """Its configuration; targets are read from a file, which changes."""
        config = {
            "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
            "rule_files": [str(self.folder / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "tidegate",
                    # As the chart's PodMonitors have it.
                    "honor_labels": True,
                    "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}],
                }
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (self.folder / "rules.yaml").write_text(yaml.safe_dump({"groups": list(self._groups)}))
        self.scrape({})

    def scrape(self, ports: Mapping[str, int]) -> None:
        """Scrape these processes and no others, each by its name."""
        found = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": name}} for name, port in ports.items()]
        half = self.folder / "targets.half"
        half.write_text(json.dumps(found))
        half.rename(self.folder / "targets.json")

    def command(self) -> list[str]:
        return [
            str(program("prometheus")),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--storage.tsdb.retention.time=1h",
            "--log.level=warn",
        ]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **query: str) -> Any:
        """What its API answers; AssertionError with its own words where a query is none."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[Json]:
        """The samples of an expression now."""
        found: list[Json] = self.ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The only sample of an expression, None without one."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def names(self) -> set[str]:
        """The names of all metrics that it has."""
        return set(self.ask("label/__name__/values"))

    def firing(self, alert: str) -> list[Json]:
        """The alerts of a rule that fire."""
        alerts: list[Json] = self.ask("alerts")["alerts"]
        return [each for each in alerts if each["labels"]["alertname"] == alert and each["state"] == "firing"]
