"""The end of a process in a worker, written as that of a pod: the policies judge both alike."""

import signal
from dataclasses import dataclass, replace

from tidegate_api.names import Reason

from tidegate_operator.records.attempt import PodRecord
from tidegate_operator.records.run import Cause
from tidegate_operator.records.usage import Usage

BY_KUBELET = "DeadlineExceeded"
"""Reason of a pod that the kubelet stops: so is that of a process that its worker stops, whatever for."""

DRAINED = "Drained"
"""Why a worker stops a process when it has to go itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnd:
    """How a process ended. Times are of this process's clock."""

    at: float
    ran: float | None = None
    """Seconds from the start of the function; None where it never started."""
    exit_code: int | None = None
    signal: int | None = None
    stopped: str | None = None
    """Why its worker stopped it."""
    stop: Cause | None = None
    result: str = ""
    too_large: bool = False
    output: str = ""
    """The end of its output."""
    usage: Usage | None = None
    lost: Cause | None = None
    """Why it ended through no fault of its own: its worker has ended, or never had it."""

    def applied_to(self, pod: PodRecord, *, received: float) -> PodRecord:
        """The record of the process as it stands then."""
        made = replace(
            pod,
            version=pod.version + 1,
            received=received,
            phase="Succeeded" if self.exit_code == 0 and not self.lost and not self.stopped else "Failed",
            started=None if self.ran is None and self.lost is None else self._started(pod),
            finished=self.at,
            exit_code=self._exit_code,
            unreachable=False,
            usage=self.usage,
        )
        if self.lost is not None:
            made.disrupted, made.reason, made.message = True, self.lost.reason, self.lost.message
        elif self.stopped == DRAINED:
            made.disrupted, made.reason, made.message = True, Reason.WORKER_ENDED, "its worker had to go"
        elif self.stopped is not None:
            made.reason, made.stop_reason = BY_KUBELET, self.stopped
        elif self.signal is not None:
            made.termination_message = f"ended by {signal_name(self.signal)}"
        else:
            made.termination_message = self.result or ("" if self.exit_code == 0 else self.output)
            made.result_too_large = self.too_large and self.exit_code == 0
        return made

    @property
    def _exit_code(self) -> int | None:
        if self.lost is not None:
            return None
        return 128 + self.signal if self.signal is not None else self.exit_code

    def _started(self, pod: PodRecord) -> float | None:
        return self.at - self.ran if self.ran is not None else pod.started


def signal_name(number: int) -> str:
    """Such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
