"""The Events that the cluster still has of a run, its Jobs and its pods."""

import re

from tidegate_api.job_names import job_name

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import Event
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.run_status import attempts_of
from tidegate_web.store.run_rows import RunRow

ATTEMPTS = 3
"""So many of the latest attempts are asked about."""
PODS = 6
_CREATED = re.compile(r"Created pod: ([a-z0-9.-]{1,253})")


def events_of_run(made: Services, row: RunRow) -> list[Event]:
    """Those of the run, and of its latest Jobs and their pods. Jobs are named by the contract, pods by the status and by what the Job
    controller says that it created."""
    try:
        found = made.cluster.events_of(row.project, kind="TaskRun", uid=row.uid)
        pods = {attempt.pod_name: None for attempt in attempts_of(row.status)[-ATTEMPTS:] if attempt.pod_name}
        # The status is written a little later than a Job is made.
        last = row.attempt + (row.phase not in TERMINAL_PHASES)
        for attempt in range(max(1, last - ATTEMPTS + 1), last + 1):
            of_job = made.cluster.events_of(row.project, kind="Job", name=job_name(row.name, row.uid, attempt))
            found += of_job
            pods |= {match[1]: None for event in of_job if (match := _CREATED.match(event.get("message") or ""))}
        for pod in [name for name in pods if is_dns_label(name)][-PODS:]:
            found += made.cluster.events_of(row.project, kind="Pod", name=pod)
    except ClusterError as error:
        raise from_cluster(error) from error
    return found
