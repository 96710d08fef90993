"""Write the dashboards of Grafana that the chart has from a list of panels, or check them with --check.

Written by hand the JSON of a dashboard is a hundred lines a panel, of which three say something.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from generated import write

FOLDER: Final = Path(__file__).resolve().parents[1] / "helm" / "tidegate" / "files" / "monitoring" / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: a title, what it means, and its queries with their legends."""

    title: str
    text: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    red_from: float | None = None
    """A stat is red from this value on."""
    red_below: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


OF_QUEUE: Final = '{namespace=~"$namespace", queue=~"$queue"}'
OF_NAMESPACE: Final = '{namespace=~"$namespace"}'
RATE: Final = "[$__rate_interval]"


def quantiles(metric: str, *, by: str = "", select: str = "") -> dict[str, str]:
    """The median and what a twentieth exceeds."""
    labels = f"{by}, le" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{round(100 * q)}": f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{select}{RATE})))"
        for q in (0.5, 0.95)
    }


RUNS: Final = (
    Row(
        title="Now",
        panels=(
            Panel(title="Running", text="Runs that hold a slot of a queue.", kind="stat", width=4,
                  queries={"": f"sum(tidegate_queue_running{OF_QUEUE})"}),
            Panel(title="Waiting", text="Runs in the lines of queues.", kind="stat", width=4,
                  queries={"": f"sum(tidegate_queue_pending{OF_QUEUE})"}),
            Panel(title="Oldest waiting", text="How long the run has waited that waits longest.", kind="stat", width=4, unit="s",
                  red_from=3600, queries={"": f"max(tidegate_queue_oldest_waiting_seconds{OF_QUEUE})"}),
            Panel(title="Ended", text="Runs that ended in the time shown.", kind="stat", width=4,
                  queries={"": f"sum(increase(tidegate_runs_finished_total{OF_NAMESPACE}[$__range]))"}),
            Panel(title="Failed", text="Share of them that failed.", kind="stat", width=4, unit="percentunit", red_from=0.25,
                  queries={"": 'sum(increase(tidegate_runs_finished_total{namespace=~"$namespace", phase="Failed"}[$__range]))'
                               f" / sum(increase(tidegate_runs_finished_total{OF_NAMESPACE}[$__range]))"}),
            Panel(title="Retries", text="Failures that were followed by another attempt, in the time shown.", kind="stat", width=4,
                  queries={"": f"sum(increase(tidegate_run_retries_total{OF_QUEUE}[$__range]))"}),
        ),
    ),
    Row(
        title="Queues",
        panels=(
            Panel(title="Waiting by queue", text="Runs in a queue's line.",
                  queries={"{{namespace}}/{{queue}}": f"sum by (namespace, queue) (tidegate_queue_pending{OF_QUEUE})"}),
            Panel(title="Running by queue", text="Runs that hold a slot of a queue.", stacked=True,
                  queries={"{{namespace}}/{{queue}}": f"sum by (namespace, queue) (tidegate_queue_running{OF_QUEUE})"}),
            Panel(title="Share of the limit in use", text="1: a queue runs as many at once as it may.", unit="percentunit",
                  queries={"{{namespace}}/{{queue}}":
                           f"tidegate_queue_running{OF_QUEUE} / tidegate_queue_concurrency_limit{OF_QUEUE}"}),
            Panel(title="Oldest waiting by queue", text="How long the run has waited that waits longest.", unit="s",
                  queries={"{{namespace}}/{{queue}}":
                           f"max by (namespace, queue) (tidegate_queue_oldest_waiting_seconds{OF_QUEUE})"}),
            Panel(title="Waiting time", text="From when only its queue held a run until its first attempt was made.", unit="s",
                  queries=quantiles("tidegate_run_wait_seconds", by="queue", select=OF_QUEUE)),
            Panel(title="Paused queues", text="1 while a Queue is paused.",
                  queries={"{{namespace}}/{{queue}}": f"tidegate_queue_paused{OF_QUEUE} == 1"}),
        ),
    ),
    Row(
        title="Runs",
        panels=(
            Panel(title="Live runs by phase", text="Of all namespaces.", stacked=True,
                  queries={"{{phase}}": "sum by (phase) (tidegate_runs)"}),
            Panel(title="Ends by phase", text="Runs that ended, a second.", stacked=True, unit="ops",
                  queries={"{{phase}}": f"sum by (phase) (rate(tidegate_runs_finished_total{OF_NAMESPACE}{RATE}))"}),
            Panel(title="Running time", text="From the first start of a run until its end, retries included.", unit="s",
                  queries=quantiles("tidegate_run_duration_seconds", by="queue", select=OF_QUEUE)),
            Panel(title="What fails", text="The ten tasks and reasons with most failures in the time shown.", kind="table", width=12,
                  queries={"": "topk(10, sum by (namespace, task, reason) (increase("
                               'tidegate_runs_finished_total{namespace=~"$namespace", phase="Failed"}[$__range])))'}),
            Panel(title="Attempts by outcome", text="Attempts that ended, a second.", stacked=True, unit="ops", width=6,
                  queries={"{{outcome}}": f"sum by (outcome) (rate(tidegate_attempts_finished_total{OF_QUEUE}{RATE}))"}),
            Panel(title="Started, retried, disrupted", text="Attempts made, failures that are retried, pods lost; a second.",
                  unit="ops", width=6,
                  queries={"started": f"sum(rate(tidegate_attempts_started_total{OF_QUEUE}{RATE}))",
                           "retries": f"sum(rate(tidegate_run_retries_total{OF_QUEUE}{RATE}))",
                           "disruptions": f"sum(rate(tidegate_run_disruptions_total{OF_QUEUE}{RATE}))"}),
        ),
    ),
    Row(
        title="Pools",
        panels=(
            Panel(title="Slots in use", text="Slots of connected workers, and how many of them runs hold.",
                  queries={"{{namespace}}/{{pool}} slots": f"sum by (namespace, pool) (tidegate_pool_slots{OF_NAMESPACE})",
                           "{{namespace}}/{{pool}} busy": f"sum by (namespace, pool) (tidegate_pool_busy{OF_NAMESPACE})"}),
            Panel(title="Waiting by pool", text="Runs that wait and name a WorkerPool.",
                  queries={"{{namespace}}/{{pool}}": f"sum by (namespace, pool) (tidegate_pool_waiting{OF_NAMESPACE})"}),
            Panel(title="Hand-over time", text="From the write of a hand-over to the start of the function.", unit="s",
                  queries=quantiles("tidegate_pool_handover_seconds")),
        ),
    ),
)  # fmt: skip

HEALTH: Final = (
    Row(
        title="Now",
        panels=(
            Panel(title="Operators that lead", text="Must be 1.", kind="stat", width=4, red_below=1,
                  queries={"": "sum(tidegate_leader)"}),
            Panel(title="Mirrors at work", text="Must be 1.", kind="stat", width=4, red_below=1,
                  queries={"": "sum(tidegate_mirror_leader)"}),
            Panel(title="Postgres", text="1: all processes reach it.", kind="stat", width=4, red_below=1,
                  queries={"": "min(tidegate_postgres_up)"}),
            Panel(title="Redis", text="1: all processes reach it.", kind="stat", width=4, red_below=1,
                  queries={"": "min(tidegate_redis_up)"}),
            Panel(title="Objects set aside", text="By operator and mirror.", kind="stat", width=4, red_from=1,
                  queries={"": "sum(tidegate_set_aside_objects)"}),
            Panel(title="Full archives", text="Projects that have used 95 % of their bytes.", kind="stat", width=4, red_from=1,
                  queries={"": "max(tidegate_archive_full_projects)"}),
        ),
    ),
    Row(
        title="Operator",
        panels=(
            Panel(title="Reconcile lag", text="From a change of an object until it is decided on.", unit="s",
                  queries=quantiles("tidegate_reconcile_lag_seconds", by="kind")),
            Panel(title="Objects that wait to be decided on", text="Grows where decisions come slower than changes.",
                  queries={"waiting": "sum(tidegate_dirty_keys)"}),
            Panel(title="Time of a decision", text="CPU of one look at one run.", unit="s",
                  queries=quantiles("tidegate_decide_seconds")),
            Panel(title="Since the last event", text="Bookmarks come each minute: more than a few minutes is a watch that hangs.", unit="s",
                  queries={"{{kind}}": "time() - max by (kind) (tidegate_last_event_timestamp_seconds)"}),
            Panel(title="Requests to the apiserver", text="By verb and code, a second.", stacked=True, unit="reqps",
                  queries={"{{verb}} {{code}}": f"sum by (verb, code) (rate(tidegate_kube_requests_total{RATE}))"}),
            Panel(title="The apiserver's answers", text="Time of a request.", unit="s",
                  queries=quantiles("tidegate_kube_request_seconds", by="verb")),
            Panel(title="From first sight to the Job", text="What the operator adds to a run that may start at once.", unit="s",
                  queries=quantiles("tidegate_run_start_seconds")),
            Panel(title="What went wrong", text="Failed reconciles, restarts of watches, what sweeps had to correct; a second.", unit="ops",
                  queries={"failed reconciles": f"sum(rate(tidegate_reconcile_errors_total{RATE}))",
                           "restarts of watches": f"sum(rate(tidegate_watch_restarts_total{RATE}))",
                           "lists of watched {{kind}}": f"sum by (kind) (rate(tidegate_watch_lists_total{RATE}))",
                           "corrections of {{kind}}": f"sum by (kind) (rate(tidegate_sweep_corrections_total{RATE}))"}),
            Panel(title="Workers", text="Connected workers of all pools.",
                  queries={"workers": "sum(tidegate_pool_workers)"}),
        ),
    ),
    Row(
        title="Mirror",
        panels=(
            Panel(title="Mirror lag", text="How long the oldest change has waited that isn't stored.", unit="s",
                  queries={"not stored": "max(tidegate_mirror_lag_seconds)",
                           "since the last event": "max(tidegate_mirror_seconds_since_event)"}),
            Panel(title="From receipt to commit", text="Of the first change of each batch.", unit="s",
                  queries=quantiles("tidegate_mirror_store_seconds")),
            Panel(title="Outbox", text="Live events that wait to be published.",
                  queries={"events": "max(tidegate_outbox_events)", "age in s": "max(tidegate_outbox_oldest_seconds)"}),
            Panel(title="Logs that ended", text="Complete, truncated or lost; an hour.",
                  queries={"{{mark}}": "sum by (mark) (increase(tidegate_logs_ended_total[1h]))"}),
            Panel(title="Logs being read", text="Pods whose logs are followed.",
                  queries={"pods": "sum(tidegate_mirror_followed_logs)"}),
            Panel(title="Archive by project", text="Bytes as they are stored.", unit="bytes", stacked=True,
                  queries={"{{namespace}}": f"sum by (namespace) (tidegate_archive_bytes{OF_NAMESPACE})"}),
        ),
    ),
    Row(
        title="Web app",
        panels=(
            Panel(title="Requests", text="By class of status, a second.", stacked=True, unit="reqps",
                  queries={f"{digit}xx": f'sum(rate(tidegate_web_requests_total{{status=~"{digit}.."}}{RATE}))' for digit in "2345"}),
            Panel(title="Time to answer", text="Without streams and waits for a run's end.", unit="s",
                  queries=quantiles("tidegate_web_request_seconds")),
            Panel(title="Slowest routes", text="What a twentieth of the requests of a route exceeds.", unit="s",
                  queries={"{{route}}": "topk(10, histogram_quantile(0.95, sum by (route, le) "
                                        f"(rate(tidegate_web_request_seconds_bucket{RATE}))))"}),
            Panel(title="Open streams", text="Pages that change by themselves, and waits for a run's end.",
                  queries={"{{instance}}": "sum by (instance) (tidegate_live_streams)"}),
            Panel(title="Webhooks", text="Attempts by what became of them, a second.", stacked=True, unit="ops",
                  queries={"{{state}}": f"sum by (state) (rate(tidegate_webhook_attempts_total{RATE}))"}),
            Panel(title="Connections to Postgres", text="In use, and how many a process may have.",
                  queries={"{{instance}} in use": 'sum by (instance) (tidegate_db_pool_connections{state="in_use"})',
                           "{{instance}} at most": "sum by (instance) (tidegate_db_pool_size)"}),
            Panel(title="Time of a statement", text="In Postgres.", unit="s", queries=quantiles("tidegate_db_query_seconds")),
            Panel(title="Failed statements", text="A second.", unit="ops",
                  queries={"{{instance}}": f"sum by (instance) (rate(tidegate_db_query_errors_total{RATE}))"}),
            Panel(title="Restarts of the mirror's threads", text="An hour.",
                  queries={"restarts": "sum(increase(tidegate_mirror_thread_failures_total[1h]))"}),
        ),
    ),
    Row(
        title="Processes",
        panels=(
            Panel(title="CPU", text="Cores in use.", unit="cores",
                  queries={"{{job}} {{instance}}": f'sum by (job, instance) (rate(process_cpu_seconds_total{{job=~"$job"}}{RATE}))'}),
            Panel(title="Memory", text="Resident.", unit="bytes",
                  queries={"{{job}} {{instance}}": 'sum by (job, instance) (process_resident_memory_bytes{job=~"$job"})'}),
            Panel(title="Open files", text="Connections included.",
                  queries={"{{job}} {{instance}}": 'sum by (job, instance) (process_open_fds{job=~"$job"})'}),
        ),
    ),
)  # fmt: skip


def _variable(name: str, query: str) -> Json:
    # `.*` and not `.+`: where namespaces are left out of the metrics their label is empty.
    return {
        "name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE,
        "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
        "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


OF_RELEASE: Final = 'release=~"$release"'


def of_release(query: str) -> str:
    """A query that asks for the metrics of the chosen releases alone, wherever it names one."""
    selected = re.sub(r"\b((?:tidegate|process)_[a-z_]+)\{", rf"\1{{{OF_RELEASE}, ", query)
    return re.sub(r"\b((?:tidegate|process)_[a-z_]+)(?![a-z_{])", rf"\1{{{OF_RELEASE}}}", selected)


RELEASE: Final = _variable("release", 'label_values({__name__=~"tidegate_leader|tidegate_db_pool_size"}, release)')
NAMESPACE: Final = _variable("namespace", of_release("label_values(tidegate_queue_pending, namespace)"))
QUEUE: Final = _variable("queue", of_release('label_values(tidegate_queue_pending{namespace=~"$namespace"}, queue)'))
JOB: Final = _variable("job", 'label_values({__name__=~"tidegate_leader|tidegate_db_pool_size"}, job)')


def _panel(panel: Panel, *, ident: int, x: int, y: int) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    custom: Json = {"fillOpacity": 10, "showPoints": "never"} if panel.kind == "timeseries" else {}
    if panel.stacked:
        custom |= {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}
    instant = panel.kind != "timeseries"
    return {
        "id": ident,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _height(panel)},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, "min": 0, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number), "datasource": SOURCE, "expr": of_release(query), "legendFormat": legend or "__auto",
                "instant": instant, "range": not instant, **({"format": "table"} if panel.kind == "table" else {}),
            }
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }  # fmt: skip


def _height(panel: Panel) -> int:
    return 4 if panel.kind == "stat" else 8


def dashboard(title: str, uid: str, rows: Sequence[Row], variables: Sequence[Json]) -> Json:
    """One dashboard, its panels laid out from left to right."""
    made: list[Json] = []
    y = 0
    for row in rows:
        made.append({
            "id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        })  # fmt: skip
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            made.append(_panel(panel, ident=len(made) + 1, x=x, y=y))
            x, tallest = x + panel.width, max(tallest, _height(panel))
        y += tallest
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
    return {
        "title": title, "uid": uid, "tags": ["tidegate"], "editable": True, "schemaVersion": 39, "version": 1,
        "timezone": "browser", "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "annotations": {"list": []},
        "templating": {"list": [source, *variables]}, "panels": made,
    }  # fmt: skip


def pages() -> dict[str, str]:
    """The files by name."""
    made = {
        "runs-and-queues.json": dashboard(
            "Tidegate / Runs and queues", "tidegate-runs", RUNS, (RELEASE, NAMESPACE, QUEUE)
        ),
        "installation-health.json": dashboard(
            "Tidegate / Installation health", "tidegate-health", HEALTH, (RELEASE, NAMESPACE, JOB)
        ),
    }
    return {name: json.dumps(each, indent=1, ensure_ascii=False) + "\n" for name, each in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    sys.exit(write(pages(), check="--check" in sys.argv[1:], folder=FOLDER))
