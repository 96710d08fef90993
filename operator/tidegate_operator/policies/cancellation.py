"""What `spec.cancel` means at each moment of a run's life."""

from tidegate_api.names import Reason

from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import Cause, RunRecord

CANCELLED = Cause(Reason.CANCELLED, "cancelled")


def stop_for_cancel(run: RunRecord, attempt: AttemptRecord) -> Cause | None:
    """Whether the attempt has to be stopped because its run is cancelled.

    A stop that is under way for another reason needs no second one: its end is judged by `spec.cancel` all the same.
    """
    return CANCELLED if run.cancel and attempt.stop is None else None
