"""Which of the deliveries that are due are sent now, so that no webhook and no project holds up the others. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

AT_ONCE = 16
PER_WEBHOOK = 3
"""Of these for one webhook: its project's others go on while its receiver hangs."""
PER_PROJECT = 6
"""Of these for one project: it can make many webhooks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A delivery whose time has come."""

    id: int
    webhook_id: int
    project: str


def choose(due: Iterable[Due], *, webhooks: Mapping[int, int], projects: Mapping[str, int]) -> list[Due]:
    """Those to send now, in the order given. ``webhooks`` and ``projects``: how many of each are being sent."""
    of_webhook, of_project = Counter(webhooks), Counter(projects)
    room = AT_ONCE - of_webhook.total()
    chosen: list[Due] = []
    for each in due:
        if len(chosen) >= room:
            break
        if of_webhook[each.webhook_id] >= PER_WEBHOOK or of_project[each.project] >= PER_PROJECT:
            continue
        of_webhook[each.webhook_id] += 1
        of_project[each.project] += 1
        chosen.append(each)
    return chosen
