"""What a run token stands for, and what is said of one that opens nothing."""

from dataclasses import dataclass

LOOK_AGAIN_SECONDS = 10.0
"""How long a pod or an attempt that was there is taken to be there still."""


class RunTokenError(Exception):
    """The token opens nothing; the message may be shown to the client."""


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What a run token stands for."""

    project: str
    run_uid: str
    run_name: str
    attempt: int
    pod_name: str
    pod_uid: str
