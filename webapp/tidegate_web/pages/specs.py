"""The TaskSpec that a run's page shows: of the newest attempt that names the one it used."""

import json
from collections.abc import Mapping, Sequence

from tidegate_web.runs.lookup import used_spec
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.task_spec import sees_values, shown
from tidegate_web.store.run_rows import RunRow


def spec_shown(made: Services, run: RunRow, attempts: Sequence[Mapping[str, object]], *, role: Role | None) -> object:
    """A run's own task, or what is kept of its Task; None without either. Viewers don't see literal values of the environment."""
    text = _text(made, run, attempts)
    return None if text is None else shown(text, whole=sees_values(role))


def _text(made: Services, run: RunRow, attempts: Sequence[Mapping[str, object]]) -> str | None:
    if own := run.spec.get("task"):
        return json.dumps(own)
    hashes = [used for attempt in attempts if isinstance(used := attempt.get("specHash"), str)]
    return used_spec(made, run, hashes[-1]) if hashes else None
