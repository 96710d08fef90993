"""Errors of the apiserver, and which of them pass by themselves.

Exception
├── KubeError          the apiserver refused a request
├── NotLeadingError    a write was refused here: this replica may not lead any more
└── UNREACHABLE        no answer: errors of aiohttp and of sockets, and timeouts
"""

import re
from typing import Final

import aiohttp

UNREACHABLE: Final = (aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises that the apiserver did not answer."""

BY_POLICY: Final = re.compile(r"(admission webhook|ValidatingAdmissionPolicy).* denied")
"""A write that an admission policy refuses. The policy can change at any time, so this is no fault of the object."""


class KubeError(Exception):
    """The apiserver refused a request."""

    def __init__(self, *, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def conflict(self) -> bool:
        """A write met another: read again and decide again."""
        return self.code == 409 and self.reason != "AlreadyExists"

    @property
    def other_uid(self) -> bool:
        """A patch named the uid of an object whose name another has now. To the apiserver that is a field that can't be changed."""
        return self.code == 422 and "metadata.uid" in self.message


class NotLeadingError(Exception):
    """A write was refused because this replica can't be sure that it still leads."""


def is_transient(error: Exception) -> bool:
    """Whether an error is one of the surroundings: the same may go well in a moment, and says nothing of the object."""
    if isinstance(error, KubeError):
        return (
            error.code in (401, 403, 404, 408, 409, 429)
            or error.code >= 500
            or BY_POLICY.search(error.message) is not None
        )
    return isinstance(error, UNREACHABLE)


REQUEST_FAILED: Final = (KubeError, *UNREACHABLE)
"""What a request raises that was refused or not answered."""
