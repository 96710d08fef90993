"""The TaskSpec that a run's page shows: of the newest attempt that names the one it used."""

import json
from collections.abc import Mapping, Sequence

from tidegate_web.cluster.definitions import KINDS
from tidegate_web.definitions import actions
from tidegate_web.runs.lookup import used_spec
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.task_spec import definition_spec_shown, sees_values, shown
from tidegate_web.store.run_rows import RunRow


def spec_shown(made: Services, run: RunRow, attempts: Sequence[Mapping[str, object]], *, role: Role | None) -> object:
    """A run's own task, or what is kept of its Task; None without either. Viewers don't see literal values of the environment."""
    text = _text(made, run, attempts)
    return None if text is None else shown(text, whole=sees_values(role))


def spec_now(made: Services, run: RunRow, *, role: Role | None) -> object:
    """The spec of the run's Task as it is in the cluster now, shown by the same rule. Raises Problem where it can't be read."""
    found = actions.get(made, KINDS["tasks"], run.project, run.task or "")
    return definition_spec_shown(found.get("spec") or {}, whole=sees_values(role))


def _text(made: Services, run: RunRow, attempts: Sequence[Mapping[str, object]]) -> str | None:
    if own := run.spec.get("task"):
        return json.dumps(own)
    hashes = [used for attempt in attempts if isinstance(used := attempt.get("specHash"), str)]
    return used_spec(made, run, hashes[-1]) if hashes else None
