"""Which runs a filter lets through, for lists that no server filters. Pure."""

from tidegate_api.run_json import ListedRun

from tidegate_cli.backends.base import RunFilter
from tidegate_cli.times import parse


def fits(run: ListedRun, wanted: RunFilter) -> bool:
    """Whether a run is one of those asked for."""
    created = parse(run["createdAt"])
    named = (
        (wanted.task, run["task"]),
        (wanted.queue, run["queue"]),
        (wanted.batch, run["batch"]),
        (wanted.schedule, run["schedule"]),
    )
    return (
        (not wanted.phases or run["phase"] in wanted.phases)
        and all(asked is None or asked == found for asked, found in named)
        and (wanted.tag is None or wanted.tag in run["tags"])
        and (wanted.text is None or _mentions(run, wanted.text))
        and (wanted.since is None or (created is not None and created >= wanted.since))
        and (wanted.until is None or (created is not None and created < wanted.until))
    )


def _mentions(run: ListedRun, text: str) -> bool:
    said = (run["name"], run["task"], run["reason"], run["message"], *run["tags"])
    return any(text.lower() in str(each or "").lower() for each in said)
